package api

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
)

// Streams of a container without a terminal share a connection in frames: one byte for the stream,
// three zero bytes, four for the length.
const (
	Stdout = 1
	Stderr = 2
)

// Frame puts data into a frame.
func Frame(stream byte, data []byte) []byte {
	b := make([]byte, 8, 8+len(data))
	b[0] = stream
	binary.BigEndian.PutUint32(b[4:], uint32(len(data)))
	return append(b, data...)
}

// Demux reads frames until the end.
func Demux(r io.Reader) (stdout, stderr []byte, err error) {
	var out, errs bytes.Buffer
	for {
		var head [8]byte
		if _, err := io.ReadFull(r, head[:]); errors.Is(err, io.EOF) {
			return out.Bytes(), errs.Bytes(), nil
		} else if err != nil {
			return nil, nil, err
		}
		to := &out
		if head[0] == Stderr {
			to = &errs
		}
		if _, err := io.CopyN(to, r, int64(binary.BigEndian.Uint32(head[4:]))); err != nil {
			return nil, nil, err
		}
	}
}
