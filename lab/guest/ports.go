package guest

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
)

// listening lists the TCP ports on which something listens at an address: the lab's machines share the
// real one's network, so its kernel knows. Where it has no such file, the list is empty.
func listening(address string) []int {
	f, err := os.Open("/proc/net/tcp")
	if err != nil {
		return nil
	}
	defer f.Close() //nolint:errcheck // nothing was written
	ip := net.ParseIP(address).To4()
	if ip == nil {
		return nil
	}
	// The kernel prints the address as one number of its own byte order.
	var raw [4]byte
	binary.BigEndian.PutUint32(raw[:], binary.NativeEndian.Uint32(ip))
	want := strings.ToUpper(hex.EncodeToString(raw[:]))
	var ports []int
	in := bufio.NewScanner(f)
	for in.Scan() {
		fields := strings.Fields(in.Text())
		if len(fields) < 4 || fields[3] != "0A" {
			continue
		}
		local, port, found := strings.Cut(fields[1], ":")
		if !found || local != want {
			continue
		}
		if n, err := strconv.ParseInt(port, 16, 32); err == nil {
			ports = append(ports, int(n))
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}
