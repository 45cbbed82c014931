package host

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"

	"go.starlark.net/starlark"

	"phoenix-run/runner/builtin"
	"phoenix-run/runner/op"
)

type authorityArgs struct {
	Name        string `star:"name" doc:"what the machine's file is called"`
	Certificate string `star:"certificate" default:"\"\"" doc:"one certificate, as PEM"`
	State       string `star:"state" default:"\"present\"" doc:"present or absent"`
}

var certificateAuthority = builtin.Method(builtin.Spec{
	Name: "certificate_authority", Effect: builtin.Operation, Returns: "result",
	Summary: "A certificate that the whole machine trusts: in /usr/local/share/ca-certificates on Debian, Ubuntu and Alpine, in /etc/pki/ca-trust on Fedora and its kin, and in the bundle made of those.",
	Errors:  []string{"The text is no certificate.", "ca-certificates is not installed."},
	Example: "host.certificate_authority(\"ours\", CA)",
}, func(c *builtin.Call, h *Host, a authorityArgs) (starlark.Value, error) {
	gone, err := isAbsent("certificate_authority", a.State)
	if err != nil {
		return nil, err
	}
	if !fileName(a.Name) {
		return nil, fmt.Errorf("certificate_authority: %q is no file name", a.Name)
	}
	text := ""
	if !gone {
		if text, err = onePEM(a.Certificate); err != nil {
			return nil, fmt.Errorf("certificate_authority: %w", err)
		}
	}
	return c.Do(authorityOp(h, a.Name, text))
})

// onePEM checks a certificate and writes it as all tools do.
func onePEM(text string) (string, error) {
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" {
		return "", fmt.Errorf("certificate: this is no certificate in PEM")
	}
	if _, err := x509.ParseCertificate(block.Bytes); err != nil {
		return "", fmt.Errorf("certificate: %w", err)
	}
	if more, _ := pem.Decode(rest); more != nil {
		return "", fmt.Errorf("certificate: there are several; give each a name of its own")
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes})), nil
}

// authorityFile finds where the machine keeps its own authorities (f) and the bundle of all ($b).
const authorityFile = `if command -v update-ca-certificates >/dev/null; then f=/usr/local/share/ca-certificates/$n.crt b=/etc/ssl/certs/ca-certificates.crt u=update-ca-certificates
elif command -v update-ca-trust >/dev/null; then f=/etc/pki/ca-trust/source/anchors/$n.crt b=/etc/pki/tls/certs/ca-bundle.crt u='update-ca-trust extract'
else f= b= u=; fi
`

func authorityOp(h *Host, name, text string) *thingOp {
	n := "n=" + quote(name) + "\n"
	// The last line but one holds the end of the signature, which no other certificate has.
	lines := strings.Split(strings.TrimSpace(text), "\n")
	mark := lines[max(0, len(lines)-2)]
	return &thingOp{h: h, addr: h.address("certificate_authority", name),
		needs: []op.Key{h.key("fs", "/usr/local/share/ca-certificates/"+name+".crt")},
		tell: n + authorityFile + `[ -n "$f" ] && [ -f "$f" ] || exit 0
if grep -qxF -- ` + quote(mark) + ` "$b"; then echo yes; else echo no; fi
cat -- "$f"`,
		parse: func(out string) (op.Attrs, error) {
			trusted, content, _ := strings.Cut(out, "\n")
			return op.Attrs{"trusted": trusted == "yes", "certificate": content}, nil
		},
		want: func(op.State) (op.Attrs, error) {
			if text == "" {
				return nil, nil
			}
			return op.Attrs{"trusted": true, "certificate": text}, nil
		},
		apply: func(change op.Change) (string, []byte) {
			script := installFunction + n + authorityFile + `[ -n "$u" ] || { echo 'ca-certificates is not installed' >&2; exit 1; }
`
			if change.Action == op.Delete {
				return script + `rm -f -- "$f" && $u`, nil
			}
			return script + `mkdir -p -- "${f%/*}" && install "$f" 0644 && $u`, []byte(text)
		},
		predict: func(v *op.View, change op.Change) {
			v.Mark(h.key("fs", "/etc/ssl/certs"), op.Cause{Address: h.address("certificate_authority", name), Why: "makes the bundle of certificates anew"}, true)
		},
	}
}
