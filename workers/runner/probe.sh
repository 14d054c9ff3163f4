# Copyright The zfarm Authors
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# Prints facts about this machine as lines "zfarm.KEY=VALUE" in ASCII; the caller ignores
# all other output (messages of the day, errors). The text sent before this script sets
# "$@" (shells to try), extra (folders for PATH), root, tools, all (1 or "").
# shellcheck disable=SC2154

say() { printf 'zfarm.%s=%.1000s\n' "$1" "$2"; }
say date "$(date -u +%Y-%m-%dT%H:%M:%S 2>/dev/null)"
system_path=$(getconf PATH 2>/dev/null || command -p getconf PATH 2>/dev/null)
system_path=${system_path:-/bin:/usr/bin}
PATH=$extra${extra:+:}$system_path
export PATH
say system_path "$system_path"
say path "$PATH"

# Without a terminal, some shells give background commands no group of their own.
# shellcheck disable=SC2016
monitor='
set -m
sleep 20 </dev/null >/dev/null 2>&1 &
c=$!
if kill -s 0 -- "-$c"; then
	kill -s KILL -- "-$c"
	wait "$c"
	[ "$?" -gt 128 ] || echo "a killed background command does not say so"
	! kill -s 0 -- "-$c" || echo "a killed process group stays"
else
	kill -s KILL "$c"
	echo "background commands get no process group of their own"
fi 2>/dev/null
[ "$(printf "\101")" = A ] && echo zfarm ISO8859-1
[ "$(printf "\301")" = A ] && echo zfarm IBM-1047
exit 0'
for each in "$@"; do
	shell=$(command -v "$each" 2>/dev/null)
	case $shell in
	/*) ;;
	*) say refused "$each: not found"; continue ;;
	esac
	told=$(env -i PATH="$PATH" "$shell" -c "$monitor" 2>/dev/null </dev/null)
	case $told in
	'zfarm '*) say shell "$shell"; say codepage "${told#zfarm }"; break ;;
	*) say refused "$shell: $(echo "${told:-it ends at once}" | sed q)" ;;
	esac
done

facts() {
	say uname "$(uname -a)"
	say user "$(id -un 2>/dev/null)"
	for each in system:-s host:-n release:-r version:-v machine:-m; do
		say "${each%:*}" "$(uname "${each#*:}")"
	done
	say cores "$(getconf _NPROCESSORS_ONLN 2>/dev/null)"
	(umask 077 && mkdir -p "$root") 2>/dev/null
	say df "$(df -kP "$root" 2>/dev/null | tail -n 1)"
	locale -a 2>/dev/null | sed -n '1,500s/^/zfarm.locale=/p'
	aside=$root/.probe.$$
	if (umask 077 && mkdir "$aside" && echo x >"$aside/x" && [ -s "$aside/x" ]) 2>/dev/null; then
		say writable yes
		# By exec, and not beside a function whose redirection keeps a copy: the
		# caller waits for every process that holds our output open.
		(exec </dev/null >/dev/null 2>&1 && keeper) &
		banners 2>/dev/null
		rm -rf "$aside"
	fi
}

banners() {
	for each in $tools; do
		tool=$(command -v "$each" 2>/dev/null)
		case $tool in /*) ;; *) say "tool.$each.absent" yes; continue ;; esac
		say "tool.$each.path" "$tool"
		(ulimit -f 2048; exec "$tool" --version </dev/null >"$aside/x" 2>&1) & # 1 MiB
		echo $! >"$aside/pid"
		wait $!
		: >"$aside/pid"
		while read -r line; do
			if [ -n "$line" ]; then say "tool.$each.banner" "$line"; break; fi
		done <"$aside/x"
	done
}

keeper() { # ends a tool that is found at its work twice
	seen=
	while sleep 10 && [ -d "$aside" ]; do
		read -r now <"$aside/pid" || now=
		if [ -n "$now" ] && [ "$now" = "$seen" ]; then kill -s KILL "$now"; fi
		seen=$now
	done
}

if [ -n "$all" ]; then facts; fi
say end yes
