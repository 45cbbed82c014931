package tools

import (
	"maps"

	"phoenix-run/lab/guest/proc"
)

// All returns the programs of this package by name; they stand in /usr/bin unless the name is a path.
func All() map[string]proc.Program { return maps.Clone(programs) }

var programs map[string]proc.Program

// init, because some of the programs run others.
func init() {
	programs = map[string]proc.Program{
		"[": test, "base64": base64Program, "basename": basename, "cat": cat, "chgrp": chown, "chmod": chmod, "chown": chown,
		"cmp": cmpFiles, "cp": cp, "cut": cut, "date": date, "dd": dd, "diff": diff, "dirname": dirname, "du": du,
		"echo": echo(true), "egrep": grep, "env": env, "false": status(1), "fgrep": grep, "find": find, "flock": flock,
		"grep": grep, "gunzip": gzipProgram, "gzip": gzipProgram, "head": head, "install": install, "kill": kill, "ln": ln,
		"ls": ls, "md5sum": sum, "mkdir": mkdir, "mkfifo": mkfifo, "mktemp": mktemp, "mv": mv, "nice": wrapper("n:"),
		"nl": nl, "nohup": wrapper(""), "paste": paste, "pgrep": pgrep, "pkill": pgrep, "printenv": printenv, "printf": printf,
		"ps": ps, "readlink": readlink, "realpath": realpath, "rev": rev, "rm": rm, "rmdir": rmdir, "sed": sed, "seq": seq,
		"sha1sum": sum, "sha256sum": sum, "sha512sum": sum, "sleep": sleep, "sort": sortLines, "split": splitFile, "stat": stat,
		"sync": syncFiles, "tac": tac, "tail": tail, "tar": tarProgram, "tee": tee, "test": test, "timeout": timeout,
		"touch": touch, "tr": tr, "true": status(0), "truncate": truncate, "uniq": uniq, "wc": wc, "which": which, "xargs": xargs,
		"yes": yes, "zcat": gzipProgram,
	}
}
