package account

import "testing"

// The hashes were made by glibc.
func TestCrypt(t *testing.T) {
	for _, c := range []struct{ password, hashed string }{
		{"Hello world!", "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"},
		{"Hello world!", "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"},
		{"Hello world!", "$5$rounds=10000$saltstringsaltst$3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA"},
	} {
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
