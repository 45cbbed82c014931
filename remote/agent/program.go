package agent

import (
	"fmt"
	"strings"
)

const (
	// maxStdin is what one exec takes with it. The API's limit is 64 Ki characters.
	maxStdin = 64 << 10
	// partSize is one write of a file. The API's limit is 46,080 bytes.
	partSize = 45_000
	// inline is how much of each stream comes back with the exec itself. The agent cuts off at 16 MiB.
	inline = 15 << 20
)

// environment is what a shell needs to be told: the agent gives it next to none.
const environment = `PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; HOME=/root; LC_ALL=C; export PATH HOME LC_ALL; umask 022; cd /;`

// program is the constant command line of every exec. On stdin it gets a header line, "WORD BYTES DIR",
// the script, that ends in "#WORD", and the script's stdin; or, if DIR is not "-", only the header,
// the rest being in the files DIR/in.*. What it answers:
//
//	WORD CODE STDOUT STDERR DIR\n   sizes in bytes; DIR is where the streams are still, or "-"
//	the stdout, and on stderr the stderr, if DIR is "-"
//
// The streams go through files: a program that the script leaves running in the background would
// hold a pipe open, and the agent then never tells that the script has ended.
//
// It needs of the machine: mkdir, cat, wc, rm, and head -c or dd as in package session.
var program = strings.Join(strings.Fields(environment+`
read -r _phxn _phxa _phxd || exit 1;
if [ "$_phxd" = - ]; then
  for _phxd in /run /tmp ""; do [ -n "$_phxd" ] || exit 1; _phxd=$_phxd/phx-$_phxn; mkdir -m 700 "$_phxd" 2>/dev/null && break; done;
else cat "$_phxd"/in.* >"$_phxd/in" && exec <"$_phxd/in" && rm -f "$_phxd"/in.* || exit 1; fi;
echo $$ >"$_phxd/pid";
_phxg() {
  if [ "$(printf abcdef | { head -c 3 >/dev/null; cat; })" = def ]; then head -c "$1"; else dd bs="$1" count=1 iflag=fullblock 2>/dev/null; fi;
};
_phxs=$(_phxg "$_phxa");
case $_phxs in *"#$_phxn") ;; *) echo "the script arrived incomplete" >&2; rm -rf "$_phxd"; exit 1;; esac;
( eval "unset _phxn _phxs; ${_phxs%"#$_phxn"*}" ) >"$_phxd/out" 2>"$_phxd/err"; _phxc=$?;
_phxo=$(($(wc -c <"$_phxd/out"))); _phxe=$(($(wc -c <"$_phxd/err")));
if [ "$_phxo" -le `+fmt.Sprint(inline)+` ] && [ "$_phxe" -le `+fmt.Sprint(inline)+` ]; then
  echo "$_phxn $_phxc $_phxo $_phxe -"; cat "$_phxd/out"; cat "$_phxd/err" >&2; rm -rf "$_phxd";
else echo "$_phxn $_phxc $_phxo $_phxe $_phxd"; fi`), " ")

// killProgram ends the script with the given word, wherever its folder is, and removes that.
func killProgram(word, dir string) string {
	return environment + fmt.Sprintf(`
for d in /run/phx-%[1]s /tmp/phx-%[1]s %[2]s; do
  [ -d "$d" ] || continue
  g=$(cat "$d/pid" 2>/dev/null) && kill -TERM "-$g" && sleep 0.2 && kill -KILL "-$g"
  rm -rf "$d"
done 2>/dev/null`, word, dir)
}
