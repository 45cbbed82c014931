# Starts one machine, in a mount namespace of its own: all that is mounted here goes when it ends.
# File descriptor 3 hears of it when all is ready for the machine's own first process. Arguments: the machine's folder, the image's tree, this lab's layer, the network namespace, the name.
set -eu
dir=$1 image=$2 layer=$3 netns=$4 name=$5

# A cgroup of its own in every hierarchy there is. Those are never the caller's: what runs in the
# machine has its own.
for tree in /sys/fs/cgroup /sys/fs/cgroup/*; do
	[ -e "$tree/cgroup.procs" ] || continue
	for group in phoenix-run "phoenix-run/$name"; do
		mkdir -p "$tree/$group" 2>/dev/null || continue 2
		if [ -e "$tree/$group/cpuset.cpus" ] && [ -e "$tree/cpuset.cpus" ]; then
			cat "$tree/cpuset.cpus" >"$tree/$group/cpuset.cpus"
			cat "$tree/cpuset.mems" >"$tree/$group/cpuset.mems"
		fi
	done
	echo $$ >"$tree/phoenix-run/$name/cgroup.procs"
done

mkdir -p "$dir/disk" "$dir/root" "$dir/run"
# The file system is checked after a pulled plug, and fills its disk, as at the boot of any cloud image.
e2fsck -fp "$dir/disk.img" >/dev/null || [ $? = 1 ]
resize2fs "$dir/disk.img" >/dev/null 2>&1
mount -o loop "$dir/disk.img" "$dir/disk"
mkdir -p "$dir/disk/upper" "$dir/disk/work" "$dir/disk/docker"
mount -t overlay overlay -o "lowerdir=$layer:$image,upperdir=$dir/disk/upper,workdir=$dir/disk/work" "$dir/root"
rm -rf "$dir/root/var/lib/cloud/seed"
if [ -d "$dir/seed" ]; then
	mkdir -p "$dir/root/var/lib/cloud/seed"
	cp -r "$dir/seed" "$dir/root/var/lib/cloud/seed/nocloud"
fi
# Docker's own overlays need a file system that is none.
mkdir -p "$dir/root/var/lib/docker"

SYSTEMD_SECCOMP=0 SYSTEMD_NSPAWN_API_VFS_WRITABLE=network SYSTEMD_LOG_TARGET=console
export SYSTEMD_SECCOMP SYSTEMD_NSPAWN_API_VFS_WRITABLE SYSTEMD_LOG_TARGET
echo >&3
exec 3>&-
exec nsenter --net="$netns" -- systemd-nspawn --quiet --boot --register=no --keep-unit --capability=all \
	--directory="$dir/root" --machine="$name" --console=pipe --link-journal=no --resolv-conf=off --timezone=off \
	--bind="$dir/disk/docker:/var/lib/docker" --bind="$dir/run:/run/lab"
