#!/bin/sh
# Copyright The zfarm Authors
# SPDX-License-Identifier: Apache-2.0
#
# SHELL runner.sh start STEP DIGEST | stop | state STEP
#
# Needs in its environment: PATH, ZFARM_ROOT (the workspace) and ZFARM_SHELL (the
# shell that runs this and the steps). POSIX only: no setsid, no /proc, no GNU tools.
# Two processes supervise a step: "watch" waits for it and writes its status, "tick"
# counts seconds, enforces limit and lease, and ends the step if the other vanishes.
# Each step has a folder: step, env (by the orchestrator); contents (its digest);
# begun/, runner, ticker, pgid, log, beat, ended/reason, status. status comes last.
#
# "env" sets limit, lease, logmax, mask, dir and "$@"; take and pid set named variables:
# shellcheck disable=SC1091,SC2119,SC2120,SC2154

alive() { kill -s 0 -- "$1" 2>/dev/null; }
# shellcheck disable=SC3028 # empty where the shell does not count
seconds() { _s=${SECONDS:-0} && echo "${_s%%.*}"; }
nap() { sleep "${1:-0.05}" 2>/dev/null || sleep 1; } # whole seconds are all that POSIX promises
# Linux can be without ps, and then has /proc.
parent() {
	if command -v ps; then ps -o ppid= -p "$1" | tr -d ' \t' >&3; return; fi
	while read -r _key _value; do case $_key in PPid:) echo "$_value" >&3 ;; esac; done <"/proc/$1/status"
} 3>&1 >/dev/null 2>&1
arguments() {
	if command -v ps; then ps -o args= -p "$1" >&3; else tr '\0' ' ' <"/proc/$1/cmdline" >&3; fi
} 3>&1 >/dev/null 2>&1
plain() { [ -f "$1" ] && [ ! -h "$1" ]; } # a step may make a link or a pipe, which would block
remove() { # FILE...: without a process where there is nothing
	for _each in "$@"; do
		if [ -e "$_each" ] || [ -h "$_each" ]; then rm -rf "$_each"; fi
	done
}
take() { # VAR FILE: the first word of the file, "" if there is none
	_line=
	{ plain "$2" && read -r _line <"$2"; } 2>/dev/null
	eval "$1=\${_line%% *}"
}
pid() { # VAR FILE: as take, but only what can be a process id; a step may have written there
	take "$1" "$2"
	eval "_line=\$$1"
	case $_line in '' | 0* | 1 | *[!0-9]*) eval "$1="; return 1 ;; esac
}
claim() { # REASON: say why the step ends, unless somebody did before
	mkdir ended 2>/dev/null && echo "$1" >ended/reason
}
too_long() { [ -n "$(find log -size "+$logmax" 2>/dev/null)" ]; }
finish() { # REASON CODE: the log is whole now
	take seconds beat
	remove status.new # made by the step
	[ ! -d status ] || remove status
	echo "${1:-lost} $2 ${seconds:-0}" >status.new && mv -f status.new status
}
end_group() { # SECONDS: TERM, that much time, KILL
	[ -n "$pgid" ] || pid pgid pgid || return 0
	if [ "$1" -gt 0 ]; then
		kill -s TERM -- "-$pgid" 2>/dev/null || return 0
		kill -s CONT -- "-$pgid" 2>/dev/null
		gone "$1" && return 0
	fi
	kill -s KILL -- "-$pgid" 2>/dev/null
	gone 5 # what hangs in the kernel, or is never reaped, must not hang us
}
buried() { # the group is dead but for the reaping, which some containers never do
	_seen=$(ps -A -o pgid= -o stat= 2>/dev/null) || return 1
	[ -n "$_seen" ] && echo "$_seen" | ( # ksh93 runs the end of a pipe in the shell itself
		while read -r _g _s; do
			case $_g:$_s in "$pgid":Z*) ;; "$pgid":*) exit 1 ;; esac
		done
	)
}
gone() { # SECONDS: wait until the group is empty
	_fine=6 _left=$1
	while alive "-$pgid"; do
		if [ "$_fine" -gt 0 ] && sleep 0.05 2>/dev/null; then _fine=$((_fine - 1)); continue; fi
		_fine=0
		if buried; then return 0; fi
		[ "$_left" -gt 0 ] || return 1
		_left=$((_left - 1))
		sleep 1
	done
}

inside() { # the current folder is that of step NAME, and no link leads elsewhere
	[ "$(pwd -P)" = "$(cd -P "$ZFARM_ROOT" && pwd -P)/.zfarm/steps/$1" ]
}

start() { # returns as soon as the step has begun, here or elsewhere
	mkdir -p "$folder" && cd "$folder" || exit 1
	inside "$name" || { echo "$folder is a link" >&2; exit 1; }
	set -m # a group for the watcher, so that it outlives this command
	"$ZFARM_SHELL" "$0" watch "$name" "$digest" </dev/null >/dev/null 2>>runner.err &
	_left=100
	until [ -s contents ]; do
		if ! alive $! && [ ! -d begun ]; then break; fi
		nap 0.03 # each costs a process
		_left=$((_left - 1))
		if [ "$_left" -le 0 ]; then break; fi
	done
	take text contents
	[ -n "$text" ] && echo "$text" && exit 0
	[ -d begun ] && exit 3 # a watcher that died as it began
	cat runner.err >&2 || exit 3
	exit 1
}

watch() {
	trap : HUP INT # caught, not ignored: the step gets the default back
	cd "$folder" && inside "$name" && mkdir begun || exit 0
	remove step env log runner ticker pgid beat contents contents.new ended status status.new # made by an earlier step
	next="$ZFARM_ROOT/.zfarm/next/$name.$digest"
	if ! { mv -f "$next.step" step && mv -f "$next.env" env && . ./env && : >log &&
		echo $$ >runner && echo 0 >beat && echo "$digest" >contents.new; }; then
		rmdir begun # no room, most likely; nothing has been started
		exit 1
	fi
	set -m
	"$ZFARM_SHELL" "$0" body "$name" </dev/null >>log 2>&1 &
	child=$! pgid=$!
	guard &
	guard=$!
	tick &
	ticker=$!
	echo "$ticker" >ticker
	set +m
	mv -f contents.new contents
	while :; do # wait also returns when a signal comes
		wait "$child"
		code=$?
		alive "$child" || break
		sleep 1
	done
	[ "$code" -gt 255 ] && code=$((code - 128)) # ksh93: 256 + signal
	claim exited
	_left=20
	until [ -s ended/reason ] || [ "$_left" -le 0 ]; do nap; _left=$((_left - 1)); done
	end_group 5
	take reason ended/reason
	if too_long; then reason=log; fi
	finish "$reason" "$code" # before the ticker goes: without both the step would look lost
	for each in "$guard" "$ticker"; do
		kill -s KILL -- "-$each" 2>/dev/null || kill -s KILL "$each" 2>/dev/null
	done
}

guard() { # ends a step that has blocked the ticker; needs no file of the step's folder
	set +m
	trap : HUP INT
	[ "$limit" -gt 0 ] || exit
	_left=$((limit / 60 + 3))
	while [ "$_left" -gt 0 ] && sleep 60; do
		alive $$ || exit # the watcher: without it the group may be another's
		_left=$((_left - 1))
	done
	claim limit
	kill -s KILL -- "-$pgid"
}

body() { # becomes the step; $$ is the group
	kill -s 0 -- "-$$" 2>/dev/null || { claim nogroup; exit 125; }
	echo $$ >pgid
	[ -d ended ] && exit 125
	. ./env
	umask "$mask"
	cd "$ZFARM_ROOT/$dir" || exit 126
	exec env -i "$@" "ZFARM_ROOT=$ZFARM_ROOT" "$ZFARM_SHELL" "$folder/step"
}

tick() {
	set +m
	trap : HUP INT
	total=0 quiet=0 old='' last=$(seconds)
	while sleep 1; do
		# Where the shell has no clock, each turn counts as a second; a jump of the
		# clock, or a machine that slept, counts as two at most.
		if [ -e status ] || [ -h status ]; then # written by the watcher, when all have ended, or by the step
			alive "-$pgid" && end_group 0
			exit
		fi
		now=$(seconds) spent=1
		[ "$((now - last))" -gt 1 ] && spent=2
		[ -d ended ] && spent=0 # by somebody who may be gone: see to it
		last=$now total=$((total + spent)) quiet=$((quiet + spent))
		plain beat && { echo "$total" >beat; } 2>/dev/null
		take text lease
		if [ "$text" != "$old" ]; then old=$text quiet=0; fi
		why='' grace=5
		[ -d ended ] && why=ended
		if [ "$limit" -gt 0 ] && [ "$total" -ge "$limit" ]; then why=limit; fi
		if [ "$quiet" -ge "$lease" ]; then why=lease; fi
		if too_long; then why=log grace=0; fi
		if ! alive $$ || [ ! -d begun ]; then why=lost; fi
		[ -n "$why" ] || continue
		claim "$why"
		end_group "$grace"
		[ "$why" = lost ] || continue # else the watcher writes the status
		kill -s KILL -- "-$guard" 2>/dev/null || kill -s KILL "$guard" 2>/dev/null
		finish lost 0
		exit
	done
}

stop_one() {
	cd "$1" 2>/dev/null && inside "${1##*/}" || return 0
	[ -d begun ] || [ -e runner ] || return 0
	if [ -e status ] || [ -h status ]; then # the ticker ends a step that wrote it itself
		_left=100
		while kept && [ "$_left" -gt 0 ]; do nap 0.1; _left=$((_left - 1)); done
		end_orphan
		return 0
	fi
	claim stopped
	[ "$(state_here)" = running ] || return 0
	if own_group; then end_group 5; fi # or leave it to the ticker
	_left=200
	until [ -f status ] || [ "$_left" -le 0 ] || [ "$(state_here)" = lost ]; do nap; _left=$((_left - 1)); done
}

state_here() { # ended, running, lost or absent
	if [ -f status ]; then echo ended; return; fi
	if [ ! -d begun ]; then echo absent; return; fi
	if kept; then echo running; return; fi
	end_orphan
	if [ -f status ]; then echo ended; else echo lost; fi
}
kept() { # is the watcher or the ticker here? A process id alone proves nothing, it may be
	# another's by now: its parent must be right too, where ps can tell.
	pid runner runner
	if pid ticker ticker; then
		alive "$ticker" || return 1
		dad=$(parent "$ticker")
		[ "${dad:-$runner}" = "$runner" ]
	else
		[ -n "$runner" ] && alive "$runner"
	fi
}
watched() { # is the runner of this step really one, where ps can tell?
	pid runner runner || return 1
	case $(arguments "$runner") in '' | *"$0 watch ${PWD##*/} "*) ;; *) return 1 ;; esac
}
own_group() { # is pgid the group of a child of the watcher?
	pid runner runner && pid pgid pgid || return 1
	dad=$(parent "$pgid")
	[ "${dad:-$runner}" = "$runner" ]
}
end_orphan() { # a step without its keepers
	for pgid in $(ps -A -o pgid= -o args= 2>/dev/null | while read -r _g _args; do
		case $_args in *" $PWD/step") echo "$_g" ;; esac
	done); do
		claim lost
		end_group 5
	done
	pgid=
	own_group && alive "$pgid" || return 0
	claim lost
	end_group 5
}

main() {
	verb=$1 name=$2 digest=$3 pgid=''
	folder=$ZFARM_ROOT/.zfarm/steps/$name
	case $verb in
	start) start ;;
	watch) watch ;;
	body) cd "$folder" && body ;;
	state) if cd "$folder" 2>/dev/null; then state_here; else echo absent; fi ;;
	stop)
		for each in "$ZFARM_ROOT"/.zfarm/steps/*; do (stop_one "$each") & done
		wait
		for each in "$ZFARM_ROOT"/.zfarm/steps/*; do
			if cd "$each" 2>/dev/null && inside "${each##*/}" && [ "$(state_here)" = running ] && watched; then exit 4; fi
		done
		;;
	*) exit 2 ;;
	esac
}
main "$@"
exit
