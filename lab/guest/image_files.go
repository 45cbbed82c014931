package guest

const baseFolders = `/boot /dev/shm /dev/pts /etc/apt/apt.conf.d /etc/apt/keyrings /etc/apt/preferences.d /etc/apt/sources.list.d
/etc/apt/trusted.gpg.d /etc/cloud/cloud.cfg.d /etc/cron.d /etc/cron.daily /etc/default /etc/netplan /etc/profile.d /etc/security
/etc/ssh/sshd_config.d /etc/ssl/certs /etc/ssl/private /etc/sudoers.d /etc/sysctl.d /etc/systemd/system /etc/update-motd.d /etc/skel
/etc/modules-load.d /etc/logrotate.d /etc/ufw /home /media /mnt /opt /proc /root /run/lock /srv /sys/fs/cgroup /tmp /usr/bin /usr/sbin
/usr/lib/systemd/system /usr/libexec /usr/local/bin /usr/local/sbin /usr/local/lib /usr/local/etc /usr/local/share/ca-certificates
/usr/share/doc /usr/share/keyrings /usr/share/zoneinfo /var/cache/apt/archives /var/lib/apt/lists /var/lib/dpkg/info /var/lib/cloud/data
/var/lib/systemd /var/log /var/mail /var/spool/cron/crontabs /var/tmp /var/backups /var/opt`

var baseLinks = map[string]string{
	"/bin": "usr/bin", "/sbin": "usr/sbin", "/lib": "usr/lib", "/lib64": "usr/lib", "/var/run": "/run", "/var/lock": "/run/lock",
	"/etc/mtab": "../proc/self/mounts", "/etc/localtime": "/usr/share/zoneinfo/Etc/UTC", "/etc/os-release": "../usr/lib/os-release",
	"/dev/fd": "/proc/self/fd", "/dev/stdin": "/proc/self/fd/0", "/dev/stdout": "/proc/self/fd/1", "/dev/stderr": "/proc/self/fd/2",
}

// zones are the time zones that tzdata brings here.
var zones = []string{
	"UTC", "Etc/UTC", "Etc/GMT", "GMT", "CET", "EET", "WET", "Europe/Zurich", "Europe/Berlin", "Europe/Vienna", "Europe/London",
	"Europe/Paris", "Europe/Madrid", "Europe/Rome", "Europe/Amsterdam", "Europe/Brussels", "Europe/Prague", "Europe/Warsaw",
	"Europe/Stockholm", "Europe/Oslo", "Europe/Helsinki", "Europe/Athens", "Europe/Lisbon", "Europe/Dublin", "Europe/Moscow",
	"Europe/Istanbul", "Europe/Kiev", "America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles",
	"America/Toronto", "America/Sao_Paulo", "America/Mexico_City", "Asia/Tokyo", "Asia/Shanghai", "Asia/Singapore", "Asia/Kolkata",
	"Asia/Dubai", "Asia/Hong_Kong", "Asia/Seoul", "Australia/Sydney", "Australia/Melbourne", "Pacific/Auckland", "Africa/Johannesburg",
	"Africa/Cairo", "Africa/Nairobi",
}

type baseFile struct {
	path    string
	mode    uint32
	content string
}

var baseFiles = []baseFile{
	{"/usr/lib/os-release", 0o644, `PRETTY_NAME="Ubuntu 22.04.4 LTS"
NAME="Ubuntu"
VERSION_ID="22.04"
VERSION="22.04.4 LTS (Jammy Jellyfish)"
VERSION_CODENAME=jammy
ID=ubuntu
ID_LIKE=debian
HOME_URL="https://www.ubuntu.com/"
SUPPORT_URL="https://help.ubuntu.com/"
BUG_REPORT_URL="https://bugs.launchpad.net/ubuntu/"
PRIVACY_POLICY_URL="https://www.ubuntu.com/legal/terms-and-policies/privacy-policy"
UBUNTU_CODENAME=jammy
`},
	{"/etc/lsb-release", 0o644, "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=22.04\nDISTRIB_CODENAME=jammy\nDISTRIB_DESCRIPTION=\"Ubuntu 22.04.4 LTS\"\n"},
	{"/etc/debian_version", 0o644, "bookworm/sid\n"},
	{"/etc/passwd", 0o644, `root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
bin:x:2:2:bin:/bin:/usr/sbin/nologin
sys:x:3:3:sys:/dev:/usr/sbin/nologin
sync:x:4:65534:sync:/bin:/bin/sync
mail:x:8:8:mail:/var/mail:/usr/sbin/nologin
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
backup:x:34:34:backup:/var/backups:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
systemd-network:x:100:102:systemd Network Management,,,:/run/systemd:/usr/sbin/nologin
systemd-resolve:x:101:103:systemd Resolver,,,:/run/systemd:/usr/sbin/nologin
messagebus:x:102:105::/nonexistent:/usr/sbin/nologin
systemd-timesync:x:103:106:systemd Time Synchronization,,,:/run/systemd:/usr/sbin/nologin
syslog:x:104:111::/home/syslog:/usr/sbin/nologin
_apt:x:105:65534::/nonexistent:/usr/sbin/nologin
sshd:x:106:65534::/run/sshd:/usr/sbin/nologin
`},
	{"/etc/group", 0o644, `root:x:0:
daemon:x:1:
bin:x:2:
sys:x:3:
adm:x:4:syslog
tty:x:5:
disk:x:6:
mail:x:8:
cdrom:x:24:
dialout:x:20:
floppy:x:25:
sudo:x:27:
audio:x:29:
dip:x:30:
www-data:x:33:
backup:x:34:
shadow:x:42:
video:x:44:
plugdev:x:46:
users:x:100:
nogroup:x:65534:
systemd-journal:x:101:
systemd-network:x:102:
systemd-resolve:x:103:
crontab:x:104:
messagebus:x:105:
systemd-timesync:x:106:
netdev:x:110:
syslog:x:111:
lxd:x:112:
`},
	{"/etc/shadow", 0o640, `root:*:19700:0:99999:7:::
daemon:*:19700:0:99999:7:::
bin:*:19700:0:99999:7:::
sys:*:19700:0:99999:7:::
sync:*:19700:0:99999:7:::
mail:*:19700:0:99999:7:::
www-data:*:19700:0:99999:7:::
backup:*:19700:0:99999:7:::
nobody:*:19700:0:99999:7:::
systemd-network:*:19700:0:99999:7:::
systemd-resolve:*:19700:0:99999:7:::
messagebus:*:19700:0:99999:7:::
systemd-timesync:*:19700:0:99999:7:::
syslog:*:19700:0:99999:7:::
_apt:*:19700:0:99999:7:::
sshd:*:19700:0:99999:7:::
`},
	{"/etc/gshadow", 0o640, "root:*::\nsudo:*::\n"},
	{"/etc/hostname", 0o644, "ubuntu\n"},
	{"/etc/hosts", 0o644, "127.0.0.1 localhost\n\n# The following lines are desirable for IPv6 capable hosts\n::1 ip6-localhost ip6-loopback\nfe00::0 ip6-localnet\nff00::0 ip6-mcastprefix\nff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n"},
	{"/etc/timezone", 0o644, "Etc/UTC\n"},
	{"/etc/resolv.conf", 0o644, "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch .\n"},
	{"/etc/fstab", 0o644, "LABEL=cloudimg-rootfs\t/\t ext4\tdiscard,errors=remount-ro\t0 1\nLABEL=UEFI\t/boot/efi\tvfat\tumask=0077\t0 1\n"},
	{"/etc/shells", 0o644, "# /etc/shells: valid login shells\n/bin/sh\n/bin/bash\n/usr/bin/bash\n/bin/dash\n/usr/bin/dash\n"},
	{"/etc/environment", 0o644, "PATH=\"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/games:/usr/local/games:/snap/bin\"\n"},
	{"/etc/profile", 0o644, "for i in /etc/profile.d/*.sh; do\n  if [ -r $i ]; then\n    . $i\n  fi\ndone\nunset i\n"},
	{"/etc/login.defs", 0o644, "UMASK\t\t022\nPASS_MAX_DAYS\t99999\nUID_MIN\t\t\t 1000\nUID_MAX\t\t\t60000\nSYS_UID_MAX\t\t  999\nUSERGROUPS_ENAB yes\nHOME_MODE\t0750\nENCRYPT_METHOD SHA512\n"},
	{"/etc/default/locale", 0o644, "LANG=C.UTF-8\n"},
	{"/etc/locale.gen", 0o644, "# en_US.UTF-8 UTF-8\n# de_CH.UTF-8 UTF-8\n# de_DE.UTF-8 UTF-8\n# fr_CH.UTF-8 UTF-8\n"},
	{"/etc/sudoers", 0o440, "Defaults\tenv_reset\nDefaults\tmail_badpass\nDefaults\tsecure_path=\"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin\"\nroot\tALL=(ALL:ALL) ALL\n%admin ALL=(ALL) ALL\n%sudo\tALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n"},
	{"/etc/sysctl.conf", 0o644, "# /etc/sysctl.conf - Configuration file for setting system variables\n"},
	{"/etc/ssh/sshd_config", 0o644, "Include /etc/ssh/sshd_config.d/*.conf\nKbdInteractiveAuthentication no\nUsePAM yes\nX11Forwarding yes\nPrintMotd no\nAcceptEnv LANG LC_*\nSubsystem\tsftp\t/usr/lib/openssh/sftp-server\n"},
	{"/etc/ssh/sshd_config.d/60-cloudimg-settings.conf", 0o644, "PasswordAuthentication no\n"},
	{"/etc/apt/sources.list", 0o644, "deb http://archive.ubuntu.com/ubuntu jammy main restricted universe multiverse\ndeb http://archive.ubuntu.com/ubuntu jammy-updates main restricted universe multiverse\ndeb http://security.ubuntu.com/ubuntu jammy-security main restricted universe multiverse\n"},
	{"/etc/apt/apt.conf.d/20auto-upgrades", 0o644, "APT::Periodic::Update-Package-Lists \"1\";\nAPT::Periodic::Unattended-Upgrade \"1\";\n"},
	{"/etc/apt/apt.conf.d/50unattended-upgrades", 0o644, "Unattended-Upgrade::Allowed-Origins {\n\t\"${distro_id}:${distro_codename}\";\n\t\"${distro_id}:${distro_codename}-security\";\n};\n"},
	{"/etc/cloud/cloud.cfg", 0o644, "users:\n  - default\ndisable_root: true\npreserve_hostname: false\ndatasource_list: [ NoCloud, ConfigDrive, None ]\n"},
	{"/etc/default/keyboard", 0o644, "XKBMODEL=\"pc105\"\nXKBLAYOUT=\"us\"\n"},
	{"/etc/ssl/certs/ca-certificates.crt", 0o644, "# The certificates of the distribution, one after the other.\n"},
	{"/etc/skel/.bashrc", 0o644, "# ~/.bashrc: executed by bash(1) for non-login shells.\ncase $- in\n    *i*) ;;\n      *) return;;\nesac\n"},
	{"/etc/skel/.profile", 0o644, "# ~/.profile: executed by the command interpreter for login shells.\n"},
	{"/root/.bashrc", 0o644, "# ~/.bashrc: executed by bash(1) for non-login shells.\n"},
	{"/etc/nsswitch.conf", 0o644, "passwd:         files systemd\ngroup:          files systemd\nshadow:         files\nhosts:          files dns\n"},
	{"/etc/machine-id", 0o444, ""},
	{"/etc/crontab", 0o644, "SHELL=/bin/sh\nPATH=/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin\n"},
	{"/etc/adjtime", 0o644, "0.0 0 0.0\n0\nUTC\n"},
	{"/usr/lib/openssh/sftp-server", 0o755, programFile("sftp-server")},
	{"/usr/sbin/nologin", 0o755, "#!/bin/sh\necho 'This account is currently not available.'\nexit 1\n"},
	{"/var/lib/dpkg/status", 0o644, ""},
	{"/var/log/cloud-init.log", 0o640, ""},
	{"/var/log/cloud-init-output.log", 0o640, ""},
	{"/var/log/dpkg.log", 0o644, ""},
}
