// Package session runs scripts in persistent shells: one process, one round trip a script.
//
// A transport starts a process of Program and hands over its three streams; everything else (framing,
// output, parallel shells, a dead one's successor) is here and the same for all of them.
//
// What a frame is. The client writes a header line, the script, and the script's stdin:
//
//	WORD l LINES STDIN\n  or  WORD b BYTES STDIN\n
//	the script, which ends in "#WORD" so that a script cut short is never run
//	STDIN bytes, then WORD\n so that stdin cut short is never taken for the whole
//
// and the shell answers on stdout and on stderr with a mark (package frame) before the script's
// output, and one after it, with the exit code on stdout.
//
// The loop needs of the machine: a POSIX shell; head -c or, where head reads more than it was asked
// for (busybox), dd with iflag=fullblock; and cat. Small scripts without stdin need none of these.
// It makes no file anywhere, so that it works on a full or read-only disk.
package session

import (
	"fmt"
	"strings"

	"phoenix-run/remote/internal/frame"
)

// smallScript is the size up to which the loop takes a script by its read builtin, a byte per system
// call. It costs no process: 0.3 ms against 1 ms at 600 bytes, and more above 2 KiB.
const smallScript = 2 << 10

// Program is the loop, for /bin/sh -c. It says ready on both streams when it has begun. It holds no
// single quote, newline or exclamation mark, so that any login shell passes it on unharmed between
// single quotes, csh and fish included.
func Program(ready string) string {
	return fmt.Sprintf(program, ready)
}

var program = strings.Join(strings.Fields(`
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin; LC_ALL=C; export PATH LC_ALL; unset ENV BASH_ENV; umask 022; cd /;
_phxl=$(printf "\n_"); _phxl=${_phxl%%_}; _phxh=;
_phxg() {
  case $_phxh in head) head -c "$1"; return;; esac;
  if [ "$1" -ge 1048576 ]; then dd bs=1048576 count=$(($1/1048576)) iflag=fullblock 2>/dev/null; fi;
  if [ $(($1%%1048576)) -gt 0 ]; then dd bs=$(($1%%1048576)) count=1 iflag=fullblock 2>/dev/null; fi;
};
_phxp() { if [ "$(printf abcdef | { head -c 3 >/dev/null; cat; })" = def ]; then _phxh=head; else _phxh=dd; fi; };
_phxi() { printf "\000%%s>%%s\n" "$_phxn" "$1"; printf "\000%%s>\n" "$_phxn" >&2; };
printf "\000%s<%%s\n" $$; printf "\000%[1]s<\n" >&2;
while read -r _phxn _phxk _phxa _phxb; do
  _phxs=;
  if [ "$_phxk" = l ]; then
    while [ "$_phxa" -gt 0 ]; do
      IFS= read -r _phxr || exit 1; _phxs=$_phxs$_phxr$_phxl; _phxa=$((_phxa-1));
    done;
  else [ -n "$_phxh" ] || _phxp; _phxs=$(_phxg "$_phxa"); fi;
  case $_phxs in *"#$_phxn$_phxl"|*"#$_phxn") ;; *) exit 1;; esac;
  _phxs=${_phxs%%"#$_phxn"*};
  printf "\000%%s<\n" "$_phxn"; printf "\000%%s<\n" "$_phxn" >&2;
  if [ "$_phxb" = 0 ]; then
    ( eval "unset _phxn _phxs _phxr; $_phxs" ) </dev/null; _phxi $?;
  else
    [ -n "$_phxh" ] || _phxp;
    { _phxg "$_phxb"; read -r _phxr; [ "$_phxr" = "$_phxn" ] ||
      { trap "" TERM; kill -TERM 0; sleep 1; kill -TERM 0; sleep 1; kill -KILL 0; }; } |
    { ( eval "unset _phxn _phxs _phxr; $_phxs" ); _phxa=$?; cat >/dev/null; _phxi $_phxa; };
  fi;
done`), " ")

// head makes the first part of a frame: all but the stdin.
func head(word, script string, stdin int64) []byte {
	script += "\n#" + word
	if len(script) <= smallScript {
		return fmt.Appendf(nil, "%s l %d %d\n%s\n", word, strings.Count(script, "\n")+1, stdin, script)
	}
	return fmt.Appendf(nil, "%s b %d %d\n%s", word, len(script), stdin, script)
}

// begin and end are the words of the marks around a script's output.
func begin(word string) string { return word + "<" }
func end(word string) string   { return word + ">" }

// newWord is a variable for the tests' sake: a fuzzer wants the same frames for the same input.
var newWord = frame.NewWord
