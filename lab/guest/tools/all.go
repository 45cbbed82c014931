package tools

import (
	"phoenix-run/lab/guest/proc"
	"phoenix-run/lab/guest/shell"
)

// All are the programs by the path at which their file stands. /bin and /sbin are links to /usr.
func All() map[string]proc.Program {
	// These run inside the shell, as they do in dash and bash.
	sh := shell.New(map[string]proc.Program{"test": test, "[": test, "printf": printf(false), "echo": echo(false), "kill": kill})
	bash := shell.New(map[string]proc.Program{"test": test, "[": test, "printf": printf(true), "echo": echo(true), "kill": kill})
	all := map[string]proc.Program{"/usr/bin/dash": sh, "/usr/bin/sh": sh, "/usr/bin/bash": bash, "/usr/bin/rbash": bash}
	for name, prog := range map[string]proc.Program{
		"[": test, "base64": base64Program, "basename": basename, "cat": cat, "chgrp": chown, "chmod": chmod, "chown": chown,
		"chsh": chsh, "cmp": cmpFiles, "cp": cp, "crontab": crontab, "cut": cut, "date": date, "dd": dd, "df": df, "diff": diff,
		"dirname": dirname, "du": du, "echo": echo(true), "egrep": grep, "env": env, "fallocate": fallocate, "false": status(1),
		"fgrep": grep, "find": find, "findmnt": findmnt, "flock": flock, "free": free, "getent": getent, "gpasswd": gpasswd, "passwd": passwd,
		"grep": grep, "groups": groups, "gunzip": gzipProgram, "gzip": gzipProgram, "head": head, "hostname": hostname, "id": id,
		"install": install, "kill": kill, "ln": ln, "ls": ls, "lsmod": lsmod, "md5sum": sum, "mkdir": mkdir, "mkfifo": mkfifo,
		"mktemp": mktemp, "mount": mount, "mountpoint": mountpoint, "mv": mv, "nice": wrapper("n: adjustment=n"), "nl": nl,
		"nohup": wrapper(""), "nproc": nproc, "paste": paste, "pgrep": pgrep, "pidof": pgrep, "pkill": pgrep, "printenv": printenv,
		"printf": printf(true), "ps": ps, "readlink": readlink, "realpath": realpath, "rev": rev, "rm": rm, "rmdir": rmdir, "sed": sed,
		"seq": seq, "setsid": wrapper("c f w fork=f wait=w"), "sha1sum": sum, "sha256sum": sum, "sha512sum": sum, "sleep": sleep,
		"sort": sortLines, "split": splitFile, "stat": stat, "stdbuf": wrapper("i: o: e:"), "su": su, "sudo": sudo, "sync": syncFiles,
		"tac": tac, "tail": tail, "tar": tarProgram, "tee": tee, "test": test, "timeout": timeout, "touch": touch, "tr": tr,
		"true": status(0), "truncate": truncate, "umount": umount, "uname": uname, "uniq": uniq, "uptime": uptime, "wc": wc,
		"which": which, "whoami": whoami, "xargs": xargs, "yes": yes, "zcat": gzipProgram, "ionice": wrapper("c: n: t p:"),
	} {
		all["/usr/bin/"+name] = prog
	}
	for name, prog := range map[string]proc.Program{
		"addgroup": adduser, "adduser": adduser, "chpasswd": chpasswd, "delgroup": deluser, "deluser": deluser, "groupadd": groupadd,
		"groupdel": groupdel, "groupmod": groupmod, "mkswap": mkswap, "modinfo": modinfo, "modprobe": modprobe,
		"runuser": su, "swapoff": swapoff, "swapon": swapon, "sysctl": sysctl, "useradd": useradd, "userdel": userdel,
		"usermod": usermod, "visudo": visudo,
	} {
		all["/usr/sbin/"+name] = prog
	}
	return all
}
