# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Completion for bash. What there is to complete is asked of the tool itself, so that it is what this version understands.

# The names of objects, or what NAME is of VMs: from JSON, as names may have spaces.
_elisactl_values() {
	"$1" "$2" list --json 2> /dev/null | sed -n "s/^ *\"$3\":\"\\{0,1\\}\\(.*[^\",]\\)\"\\{0,1\\},\\{0,1\\}\$/\\1/p"
}

# The commands, one a line.
_elisactl_commands() {
	"$1" help 2> /dev/null | sed -n 's/^  \([a-z][a-z ]*[a-z]\)  .*/\1/p'
	echo help
}

_elisactl_whom() {
	local id
	echo all
	_elisactl_values "$1" vm id | while read -r id; do echo "vm:$id"; done
	_elisactl_values "$1" vm pid | while read -r id; do echo "pid:$id"; done
	_elisactl_values "$1" vm uid | sort -u | while read -r id; do echo "uid:$id"; done
}

# What can come after the words of COMMAND, of which there are COUNT besides options.
_elisactl_arguments() {
	local tool=$1 command=$2 count=$3
	case $command:$count in
	"object show:0" | "object withdraw:0" | grant:0 | revoke:0) _elisactl_values "$tool" object name ;;
	grant:1 | revoke:1) _elisactl_whom "$tool" ;;
	doctor:0) printf 'host\nguest\n' ;;
	esac
}

_elisactl() {
	local line=${COMP_LINE:0:COMP_POINT} tool=$1 current="" previous="" command="" count=0 word each
	local -a words=() choices=()
	COMPREPLY=()
	# Not COMP_WORDS: bash takes vm:1 apart there.
	read -ra words <<< "$line"
	case $line in
	*[[:space:]]) ;;
	*) current=${words[-1]} && unset 'words[-1]' ;;
	esac
	for word in "${words[@]:1}"; do
		previous=$word
		case $word in
		-*) continue ;;
		esac
		if _elisactl_commands "$tool" | grep -qx -e "$command${command:+ }$word" -e "$command${command:+ }$word .*" &&
			[ "$count" = 0 ]; then
			command=$command${command:+ }$word
		elif [ "$command" = help ]; then
			command=$word
		else
			count=$((count + 1))
		fi
	done
	case $previous in
	--code | -c) mapfile -t COMPREPLY < <(compgen -f -- "$current") && return ;;
	--object | -o) mapfile -t choices < <(_elisactl_values "$tool" object name) ;;
	--vm | -v) mapfile -t choices < <(_elisactl_values "$tool" vm id) ;;
	--sort | -s) choices=(calls inside aborts) ;;
	*)
		case $current in
		-*) mapfile -t choices < <("$tool" help ${command:+$command} 2> /dev/null | grep -o -e '--[a-z][a-z-]*' | sort -u) ;;
		*)
			if _elisactl_commands "$tool" | grep -qx -e "$command" && [ "$command" != help ]; then
				mapfile -t choices < <(_elisactl_arguments "$tool" "$command" "$count")
			elif [ "$count" = 0 ]; then
				[ "$command" = help ] && command=
				mapfile -t choices < <(_elisactl_commands "$tool" | sed -n "s/^${command:+$command }\\([a-z]*\\).*/\\1/p" | sort -u)
			fi
			;;
		esac
		;;
	esac
	for each in "${choices[@]}"; do
		case $each in
		"$current"*) COMPREPLY+=("$(printf %q "$each")") ;;
		esac
	done
	# What is before the last colon stands there already, as bash sees it.
	case $current:$COMP_WORDBREAKS in
	*:*:*) COMPREPLY=("${COMPREPLY[@]#"${current%"${current##*:}"}"}") ;;
	esac
}

complete -F _elisactl elisactl
