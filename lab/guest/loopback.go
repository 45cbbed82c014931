package guest

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
)

// loopback is how programs of a guest reach HTTP servers: those of the lab, and no others. Their
// certificates are the lab's own, which no authority knows.
var loopback = &http.Transport{
	DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
			return nil, fmt.Errorf("%s is not an address of the lab", host)
		}
		var d net.Dialer
		return d.DialContext(ctx, network, addr)
	},
	TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // the lab's own certificates
	DisableKeepAlives: true,
}
