# Shared by the scripts beside it. Sourced, never run.
# shellcheck shell=bash
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}
export FIMK_CACHE=${FIMK_CACHE:-${HOME:?}/.cache/fimk}
binaries=$CARGO_TARGET_DIR/release

say() { printf '==> %s\n' "$*" >&2; }
die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

need_root() {
	[ "$(id -u)" = 0 ] || die "this needs root: it installs packages and loads BPF programs. Run it with sudo or as root."
}

need_rust() {
	command -v cargo >/dev/null || die "no cargo in PATH: install Rust 1.90 or newer (rustup.rs), then run this again."
}

# Debian names it clang-NN where only a version is installed; the build looks for those too.
find_clang() {
	local candidate version
	for candidate in $(compgen -c clang | grep -xE 'clang(-[0-9]+)?' | sort -Vru) clang; do
		version=$("$candidate" -dumpversion 2>/dev/null) || continue
		[ "${version%%.*}" -ge 14 ] && command -v "$candidate" && return 0
	done
	return 1
}

# Always the whole workspace with all targets: another selection unites features differently, and RocksDB
# would be compiled a second time.
build() {
	need_rust
	say "building into $CARGO_TARGET_DIR (the first time RocksDB alone takes 10 to 16 minutes on two cores)"
	(cd "$root" && cargo build --release --workspace "${@:---all-targets}")
}

# The users that the analyzer and the forwarder become.
ensure_user() {
	local user
	for user in fimk fimk-forwarder; do
		getent passwd "$user" >/dev/null && continue
		say "creating the system user $user"
		useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "$user"
	done
}

# Programs, maps and links are pinned there. systemd mounts it; containers and small guests often lack it.
ensure_bpffs() {
	mountpoint -q /sys/fs/bpf && return 0
	say "mounting bpffs on /sys/fs/bpf"
	mount -t bpf bpf /sys/fs/bpf || die "cannot mount bpffs on /sys/fs/bpf: the kernel lacks BPF, or this is a container without the right to mount."
}

# The first Debian mirror among this machine's own apt sources: the tree names none.
debian_mirror() {
	local uri
	uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' | grep -v -- '-security/' | head -n 1) || true
	[ -n "$uri" ] || return 1
	printf '%s\n' "$uri"
}

# The same of Debian's security updates, where the sources name one.
debian_security_mirror() {
	local uri
	uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian-Security' | head -n 1) || true
	[ -n "$uri" ] || return 1
	printf '%s\n' "$uri"
}

debian_keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# `apt_state DIR SUITE [ARCHITECTURE]`: from now on apt has a state of its own in DIR, with the packages of this suite, also for
# another machine; the system's sources stay as they are.
apt_state() {
	local suite=$2 architecture=${3:-$(dpkg --print-architecture)} security
	mkdir -p "$1/lists/partial" "$1/cache/archives/partial"
	: >"$1/status"
	printf 'deb [signed-by=%s] %s %s main\n' "$debian_keyring" "$(debian_mirror)" "$suite" >"$1/sources.list"
	# The kernels of old suites are only there. Suites without one have no such list, which is no failure.
	if security=$(debian_security_mirror) && [[ $suite != *-* ]]; then
		printf 'deb [signed-by=%s] %s %s-security main\n' "$debian_keyring" "$security" "$suite" >>"$1/sources.list"
	fi
	cat >"$1/apt.conf" <<-CONF
		Dir::Etc::sourcelist "$1/sources.list";
		Dir::Etc::sourceparts "/dev/null";
		Dir::State::Lists "$1/lists";
		Dir::State::status "$1/status";
		Dir::Cache "$1/cache";
		APT::Architecture "$architecture";
		APT::Architectures "$architecture";
		APT::Sandbox::User "root";
		Acquire::Languages "none";
		Acquire::Retries "3";
	CONF
	export APT_CONFIG=$1/apt.conf
	apt-get -q update >&2
}

# `in_place_of FILE COMMAND…`: COMMAND writes "$FILE.new.PID", which becomes FILE only if it succeeded.
in_place_of() {
	local file=$1 temporary=$1.new.$$
	shift
	mkdir -p "$(dirname "$file")"
	if "$@" "$temporary" && [ -s "$temporary" ]; then
		mv "$temporary" "$file"
	else
		rm -f "$temporary"
		return 1
	fi
}

# The program of the end-to-end tests, as cargo names it.
e2e_binary() {
	build --test e2e --message-format=json-render-diagnostics |
		sed -n 's/.*"target":{"kind":\["test"\][^}]*"name":"e2e".*"executable":"\([^"]*\)".*/\1/p' | tail -n 1
}

# How many guests may run now: each keeps one CPU busy. A caller may have an answer of its own.
at_once() { nproc; }

# `guests LOGS GUEST… [-- PROGRAM… [-- ARGUMENTS…]]`: scripts/vm for each, several at once, the slowest first if the caller names them
# so. A GUEST is a kernel, or KERNEL:PART where one kernel has several. Leaves LOGS/GUEST.log, LOGS/GUEST.seconds and LOGS/GUEST.status. A
# caller that wants another command than scripts/vm with these words has a function `in_guest GUEST`.
guests() {
	local logs=$1 named=() guest
	shift
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		named+=("$1")
		shift
	done
	shift || true
	# Fetched and made by one, not by all at once; what fails here says so again below, in the log.
	for guest in "${named[@]}"; do "$root/scripts/kernel" "${guest%%:*}" >/dev/null || true; done
	"$root/scripts/rootfs" >/dev/null || true
	for guest in "${named[@]}"; do
		while [ "$(jobs -rp | wc -l)" -ge "$(at_once)" ]; do sleep 1; done
		{
			local status=0 begun=$SECONDS
			if declare -F in_guest >/dev/null; then in_guest "$guest"; else "$root/scripts/vm" "${guest%%:*}" "$@"; fi \
				>"$logs/$guest.log" 2>&1 || status=$?
			echo "$((SECONDS - begun))" >"$logs/$guest.seconds"
			echo "$status" >"$logs/$guest.status"
		} &
	done
	wait
}

# `keep_section FILE TITLE NEW`: puts the file NEW in the place of the section "## TITLE", or behind all; the others stay.
keep_section() {
	local file=$1
	[ -e "$file" ] || printf '# What fimk costs\n' >"$file"
	awk -v new="$3" -v title="## $2" '
		function put(   line) { while ((getline line < new) > 0) print line; done = 1 }
		/^## / { inside = $0 == title; if (inside) { put(); print "" } }
		!inside { print; last = $0 }
		END { if (!done) { if (last != "") print ""; put() } }
	' "$file" | cat -s >"$file.new"
	sed -i -e :a -e '/^\n*$/{$d;N;ba' -e '}' "$file.new"
	mv "$file.new" "$file"
}
