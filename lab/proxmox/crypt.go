package proxmox

import (
	"crypto/sha256"
	"regexp"
	"strings"
)

var cryptedText = regexp.MustCompile(`^\$[0-9a-z]+\$`)

const cryptAlphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// cryptPassword hashes a password as crypt(3) with $5$ does; one that is hashed already stays.
func cryptPassword(text string) (string, error) {
	if cryptedText.MatchString(text) {
		return text, nil
	}
	var salt strings.Builder
	for _, b := range random(8) {
		salt.WriteByte(cryptAlphabet[b%64])
	}
	return "$5$" + salt.String() + "$" + sha256Crypt(text, salt.String()), nil
}

// sha256Crypt is the SHA-256 scheme of crypt(3) with its default of 5000 rounds.
func sha256Crypt(password, salt string) string {
	key, s := []byte(password), []byte(salt)
	h := sha256.New()
	h.Write([]byte(password + salt + password))
	b := h.Sum(nil)

	h.Reset()
	h.Write([]byte(password + salt))
	h.Write(repeatTo(b, len(key)))
	for n := len(key); n > 0; n >>= 1 {
		if n&1 == 1 {
			h.Write(b)
		} else {
			h.Write(key)
		}
	}
	a := h.Sum(nil)

	h.Reset()
	for range key {
		h.Write(key)
	}
	p := repeatTo(h.Sum(nil), len(key))
	h.Reset()
	for range 16 + int(a[0]) {
		h.Write(s)
	}
	q := repeatTo(h.Sum(nil), len(s))

	for i := range 5000 {
		h.Reset()
		if i%2 == 1 {
			h.Write(p)
		} else {
			h.Write(a)
		}
		if i%3 != 0 {
			h.Write(q)
		}
		if i%7 != 0 {
			h.Write(p)
		}
		if i%2 == 1 {
			h.Write(a)
		} else {
			h.Write(p)
		}
		a = h.Sum(nil)
	}
	return cryptEncode(a)
}

func repeatTo(b []byte, n int) []byte {
	out := make([]byte, 0, n+len(b))
	for len(out) < n {
		out = append(out, b...)
	}
	return out[:n]
}

// cryptEncode writes the bytes in the scheme's own order, 6 bits a character.
func cryptEncode(sum []byte) string {
	var out strings.Builder
	put := func(v uint, n int) {
		for range n {
			out.WriteByte(cryptAlphabet[v&63])
			v >>= 6
		}
	}
	i, j, k := 0, 10, 20
	for range 10 {
		put(uint(sum[i])<<16|uint(sum[j])<<8|uint(sum[k]), 4)
		i, j, k = k+1, i+1, j+1
	}
	put(uint(sum[31])<<8|uint(sum[30]), 3)
	return out.String()
}
