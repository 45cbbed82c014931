package op

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"phoenix-run/secret"
)

// Digester makes digests of attributes. Its salt keeps the digest of a secret from being looked up.
type Digester struct{ Salt []byte }

// Attrs gives the digest of a whole state; "" stands for a thing that does not exist.
func (d Digester) Attrs(a Attrs) string {
	if a == nil {
		return ""
	}
	return d.Value(map[string]any(a))
}

// Value gives the digest of one value. Equal values have equal digests, whichever types hold them.
func (d Digester) Value(v any) string {
	text, err := json.Marshal(revealed(Normal(v)))
	if err != nil {
		panic("op: attributes are always JSON: " + err.Error())
	}
	mac := hmac.New(sha256.New, d.Salt)
	mac.Write(text)
	return hex.EncodeToString(mac.Sum(nil))
}

// revealed gives v with its secrets as plain text, for digests only.
func revealed(v any) any {
	switch v := v.(type) {
	case secret.Value:
		return v.Reveal()
	case []any:
		list := make([]any, len(v))
		for i, e := range v {
			list[i] = revealed(e)
		}
		return list
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, e := range v {
			m[k] = revealed(e)
		}
		return m
	case string:
		return []byte(v) // as base64: JSON would make one replacement character of all invalid UTF-8
	}
	return v
}

// RevealJSON encodes v with its secrets in plain text; the result is a secret itself.
func RevealJSON(v any) (secret.Value, error) {
	text, err := json.Marshal(plain(Normal(v)))
	return secret.New(string(text)), err
}

func plain(v any) any {
	switch v := v.(type) {
	case secret.Value:
		return v.Reveal()
	case []any:
		list := make([]any, len(v))
		for i, e := range v {
			list[i] = plain(e)
		}
		return list
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, e := range v {
			m[k] = plain(e)
		}
		return m
	}
	return v
}
