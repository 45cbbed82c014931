package account

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"hash"
	"strconv"
	"strings"
)

const cryptLetters = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// HashPassword makes a line's second field of /etc/shadow: SHA-512 with a new salt.
func HashPassword(password string) string {
	salt := make([]byte, 16)
	rand.Read(salt) //nolint:errcheck // never fails
	for i, b := range salt {
		salt[i] = cryptLetters[b&63]
	}
	return crypt(password, "$6$"+string(salt))
}

// CheckPassword tells whether a password is the one behind a hash of crypt(3) with SHA-256 or SHA-512.
// Other hashes, locked accounts and empty fields match nothing.
func CheckPassword(hashed, password string) bool {
	if !strings.HasPrefix(hashed, "$5$") && !strings.HasPrefix(hashed, "$6$") {
		return false
	}
	return subtle.ConstantTimeCompare([]byte(crypt(password, hashed)), []byte(hashed)) == 1
}

// crypt is Ulrich Drepper's scheme ("Unix crypt using SHA-256 and SHA-512"), with the salt of an
// existing hash or of "$6$SALT".
func crypt(password, setting string) string {
	id := setting[:3]
	newHash := sha512.New
	if id == "$5$" {
		newHash = sha256.New
	}
	rest := setting[3:]
	rounds, prefix := 5000, ""
	if after, found := strings.CutPrefix(rest, "rounds="); found {
		number, salt, _ := strings.Cut(after, "$")
		n, err := strconv.Atoi(number)
		if err != nil {
			return ""
		}
		rounds = max(1000, min(n, 999999999))
		prefix, rest = "rounds="+strconv.Itoa(rounds)+"$", salt
	}
	salt, _, _ := strings.Cut(rest, "$")
	salt = salt[:min(16, len(salt))]
	digest := cryptDigest(newHash, []byte(password), []byte(salt), rounds)
	return id + prefix + salt + "$" + cryptEncode(id, digest)
}

func sumOf(newHash func() hash.Hash, parts ...[]byte) []byte {
	h := newHash()
	for _, p := range parts {
		h.Write(p) //nolint:errcheck // a hash takes all
	}
	return h.Sum(nil)
}

// repeat fills n bytes with block after block.
func repeat(block []byte, n int) []byte {
	var out []byte
	for len(out) < n {
		out = append(out, block[:min(len(block), n-len(out))]...)
	}
	return out
}

func cryptDigest(newHash func() hash.Hash, key, salt []byte, rounds int) []byte {
	b := sumOf(newHash, key, salt, key)
	parts := [][]byte{key, salt, repeat(b, len(key))}
	for n := len(key); n > 0; n >>= 1 {
		if n&1 != 0 {
			parts = append(parts, b)
		} else {
			parts = append(parts, key)
		}
	}
	a := sumOf(newHash, parts...)
	var dp [][]byte
	for range key {
		dp = append(dp, key)
	}
	p := repeat(sumOf(newHash, dp...), len(key))
	var ds [][]byte
	for range 16 + int(a[0]) {
		ds = append(ds, salt)
	}
	s := repeat(sumOf(newHash, ds...), len(salt))
	for i := range rounds {
		first, last := a, p
		if i&1 != 0 {
			first, last = p, a
		}
		round := [][]byte{first}
		if i%3 != 0 {
			round = append(round, s)
		}
		if i%7 != 0 {
			round = append(round, p)
		}
		a = sumOf(newHash, append(round, last)...)
	}
	return a
}

// cryptEncode writes a digest in the scheme's order of bytes.
func cryptEncode(id string, d []byte) string {
	var b strings.Builder
	put := func(b2, b1, b0 byte, n int) {
		w := uint(b2)<<16 | uint(b1)<<8 | uint(b0)
		for range n {
			b.WriteByte(cryptLetters[w&63])
			w >>= 6
		}
	}
	if id == "$5$" {
		i, j, k := 0, 10, 20
		for range 10 {
			put(d[i], d[j], d[k], 4)
			i, j, k = k+1, i+1, j+1
		}
		put(0, d[31], d[30], 3)
		return b.String()
	}
	i, j, k := 0, 21, 42
	for range 21 {
		put(d[i], d[j], d[k], 4)
		i, j, k = j+1, k+1, i+1
	}
	put(0, 0, d[63], 2)
	return b.String()
}
