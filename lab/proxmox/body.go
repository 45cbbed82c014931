package proxmox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// drainLimit is how much of a refused body is read.
const drainLimit = 64 << 20

// readParams takes the parameters from query and body, with Proxmox's limits.
func (s *Server) readParams(r *http.Request, c *call) (err error) {
	// What was not read is read away, or closing the connection would destroy the answer on its way.
	defer func() {
		if err != nil {
			_, copyErr := io.Copy(io.Discard, io.LimitReader(r.Body, drainLimit))
			err = errors.Join(err, copyErr)
		}
	}()
	c.params = values{}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return &apiError{status: http.StatusBadRequest, text: "bad query", bare: true}
	}
	c.params.addForm(query)
	if len(r.TransferEncoding) > 0 {
		return &apiError{status: http.StatusNotImplemented, text: "chunked transfer encoding not supported", bare: true}
	}
	if r.ContentLength <= 0 {
		return nil
	}
	if r.Method != http.MethodPost && r.Method != http.MethodPut {
		return &apiError{status: http.StatusNotImplemented, text: fmt.Sprintf("Unexpected content for method '%s'", r.Method), bare: true}
	}
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if kind == "multipart/form-data" && strings.HasSuffix(c.path, "/upload") {
		return c.readUpload(r)
	}
	if r.ContentLength > s.flavor.bodyLimit {
		return &apiError{status: http.StatusNotImplemented, text: "for data too large", bare: true}
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, s.flavor.bodyLimit))
	if err != nil {
		return &apiError{status: http.StatusBadRequest, text: err.Error(), bare: true}
	}
	switch kind {
	case "application/json":
		return c.params.addJSON(body)
	case "application/x-www-form-urlencoded", "":
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return &apiError{status: http.StatusBadRequest, text: "bad form data", bare: true}
		}
		c.params.addForm(form)
		return nil
	}
	return &apiError{status: http.StatusNotImplemented, text: fmt.Sprintf("upload media type '%s' not supported", kind), bare: true}
}

// addForm takes form fields; a field given more than once is an array.
func (v values) addForm(form url.Values) {
	for name, all := range form {
		if len(all) == 1 {
			v[name] = value{text: all[0]}
		} else {
			v[name] = value{list: all, ref: "ARRAY"}
		}
	}
}

// addJSON takes the members of a JSON object; a null is as good as not there.
func (v values) addJSON(body []byte) error {
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.UseNumber()
	var object map[string]any
	if err := d.Decode(&object); err != nil {
		return &apiError{status: http.StatusBadRequest, text: "malformed JSON string: " + err.Error(), bare: true}
	}
	for name, member := range object {
		switch m := member.(type) {
		case nil:
		case string:
			v[name] = value{text: m}
		case json.Number:
			v[name] = value{text: m.String()}
		case bool:
			v[name] = value{text: map[bool]string{false: "0", true: "1"}[m], ref: "JSON::PP::Boolean"}
		case []any:
			list := make([]string, len(m))
			for i, item := range m {
				list[i] = fmt.Sprint(item)
			}
			v[name] = value{list: list, ref: "ARRAY"}
		default:
			v[name] = value{ref: "HASH"}
		}
	}
	return nil
}
