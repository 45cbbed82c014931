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

// revealed gives v with its secrets as plain text, for digests only. Text becomes bytes, which JSON
// writes as base64: as text, all that is no UTF-8 would look the same.
func revealed(v any) any {
	return leaves(v, func(v any) any {
		switch v := v.(type) {
		case secret.Value:
			return []byte(v.Reveal())
		case string:
			return []byte(v)
		}
		return v
	})
}

// RevealJSON encodes v with its secrets in plain text; the result is a secret itself.
func RevealJSON(v any) (secret.Value, error) {
	text, err := json.Marshal(leaves(Normal(v), func(v any) any {
		if s, ok := v.(secret.Value); ok {
			return s.Reveal()
		}
		return v
	}))
	return secret.New(string(text)), err
}

// leaves gives v with all that is neither a list nor a map replaced.
func leaves(v any, replace func(any) any) any {
	switch v := v.(type) {
	case []any:
		list := make([]any, len(v))
		for i, e := range v {
			list[i] = leaves(e, replace)
		}
		return list
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, e := range v {
			m[k] = leaves(e, replace)
		}
		return m
	}
	return replace(v)
}
