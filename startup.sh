#!/bin/sh
# Start Sightline in containers, with what this machine has: ./startup.sh --help
set -eu

usage() {
	cat <<'END'
usage: ./startup.sh [--cpu | --gpu] [--https] [--no-open]
       ./startup.sh --stop

Starts Sightline with Docker Compose, waits until every part is well, says where it is.

  --cpu      don't use a GPU, even if there is one
  --gpu      use the NVIDIA GPU, or stop and say what is missing
  --https    put HTTPS in front: cameras on other machines need it (deploy/compose/https.yml)
             These three are remembered as COMPOSE_FILE in .env, which names all that is started.
  --no-open  don't open the page in a browser
  --stop     stop everything; models, dashboards and figures are kept

FRONTEND_PORT, BACKEND_PORT and GRAFANA_PORT in .env move it to other ports.
END
}

OLDEST_ENGINE=25.0 # what docker-compose.yml is written for
OLDEST_COMPOSE=2.24
START_LIMIT_S=600      # once the images are built
START_LIMIT_GPU_S=1500 # TensorRT builds its engine at every start

# The lines are those of `sightline doctor`: state, what, what was found, how to mend it.
ok() { printf 'ok    %-8s %s\n' "$1" "$2"; }
warn() { printf 'warn  %-8s %s\n               → %s\n' "$1" "$2" "$3" >&2; }
fail() {
	printf 'fail  %-8s %s\n' "$1" "$2" >&2
	shift 2
	for mend in "$@"; do
		printf '               → %s\n' "$mend" >&2
	done
	exit 1
}

WITHOUT_DOCKER='Or run it without containers (Python 3.11 to 3.13): make run'

main() {
	device=auto https=no open=yes stop=no
	for option in "$@"; do
		case $option in
		--cpu) device=cpu ;;
		--gpu) device=gpu ;;
		--https) https=yes ;;
		--no-open) open=no ;;
		--stop) stop=yes ;;
		-h | --help) usage && exit 0 ;;
		*) printf 'There is no option %s.\n\n' "$option" >&2 && usage >&2 && exit 2 ;;
		esac
	done
	cd "$(dirname "$0")"
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	trap 'exit 130' INT TERM

	check_docker
	check_compose
	read_settings
	if [ "$stop" = yes ]; then
		docker compose down --remove-orphans
		ok stopped "models, dashboards and figures are kept; ./startup.sh brings it back"
		exit 0
	fi
	choose_files
	check_files
	check_turn
	start
	announce
}

check_docker() {
	command -v docker >/dev/null 2>&1 ||
		fail docker "not installed" \
			"Install Docker Engine or Docker Desktop: https://docs.docker.com/get-started/get-docker/" \
			"$WITHOUT_DOCKER"
	case $(docker --version 2>/dev/null) in
	*odman*)
		fail docker "this \`docker\` is Podman's; Sightline was never run on it" \
			"Install Docker Engine: https://docs.docker.com/engine/install/" \
			"$WITHOUT_DOCKER"
		;;
	esac
	if engine=$(docker version --format '{{.Server.Version}}' 2>"$work/refusal"); then
		is_new_enough "$engine" "$OLDEST_ENGINE" ||
			fail docker "engine $engine is too old, $OLDEST_ENGINE is needed" \
				"Update it: https://docs.docker.com/engine/install/" \
				"$WITHOUT_DOCKER"
		ok docker "engine $engine"
		return
	fi
	case $(cat "$work/refusal") in
	*"ermission denied"*)
		mend="Join its group, then log in again: sudo usermod -aG docker $(id -un)"
		[ ! -S "${XDG_RUNTIME_DIR:-/run/user/$(id -u)}/docker.sock" ] ||
			mend="Take the one that runs without root: docker context use rootless"
		fail docker "the engine runs, but $(id -un) may not use its socket" \
			"$mend" "$WITHOUT_DOCKER"
		;;
	*"/run/user/"*)
		fail docker "your own engine, without root, doesn't run: $(tail -n 1 "$work/refusal")" \
			"Start it: systemctl --user start docker" \
			"$WITHOUT_DOCKER"
		;;
	*)
		fail docker "the engine doesn't run: $(tail -n 1 "$work/refusal")" \
			"Start it: sudo systemctl start docker, or open Docker Desktop" \
			"$WITHOUT_DOCKER"
		;;
	esac
}

check_compose() {
	version=$(docker compose version --short 2>/dev/null) ||
		fail compose "Docker has no compose plugin" \
			"Install it: https://docs.docker.com/compose/install/linux/ (Debian: docker-compose)" \
			"$WITHOUT_DOCKER"
	is_new_enough "${version#v}" "$OLDEST_COMPOSE" ||
		fail compose "version $version is too old, $OLDEST_COMPOSE is needed" \
			"Update it: https://docs.docker.com/compose/install/linux/" \
			"$WITHOUT_DOCKER"
	ok compose "version $version"
}

is_new_enough() {
	printf '%s %s\n' "$1" "$2" | awk '{
		split($1, have, "[.-]"); split($2, need, ".")
		exit !(have[1] + 0 > need[1] + 0 || (have[1] + 0 == need[1] + 0 && have[2] + 0 >= need[2] + 0))
	}'
}

# Ask Compose what .env and the shell say: the rules of .env are its own.
read_settings() {
	docker compose -f - config >"$work/settings" 2>"$work/refusal" <<'END' ||
name: settings
services:
  settings:
    image: none
    environment:
      COMPOSE_FILE: "${COMPOSE_FILE:-}"
      BACKEND_PORT: "${BACKEND_PORT:-8000}"
      GRAFANA_PORT: "${GRAFANA_PORT:-3000}"
      SIGHTLINE_DOMAIN: "${SIGHTLINE_DOMAIN:-}"
      SIGHTLINE_TLS: "${SIGHTLINE_TLS:-}"
      SIGHTLINE_TURN_USER: "${SIGHTLINE_TURN_USER:-}"
      SIGHTLINE_TURN_PASSWORD: "${SIGHTLINE_TURN_PASSWORD:-}"
END
		fail .env "Compose can't read it: $(tail -n 1 "$work/refusal")" \
			"One NAME=value a line; a value with spaces or # goes into 'single quotes'."
}

# Print one of them.
setting() {
	sed -n -e "s/^ *$1: //p" "$work/settings" | sed -e 's/^"\(.*\)"$/\1/' -e "s/^'\(.*\)'$/\1/"
}

# Sets `files`, COMPOSE_FILE and `https`. What .env names stays; options add to it.
choose_files() {
	named=$(setting COMPOSE_FILE)
	asked=$device
	choose_device
	files=${named:-docker-compose.yml}
	if [ -z "$named" ] && [ -e docker-compose.override.yml ]; then
		files=$files:docker-compose.override.yml # as Compose does where nothing is named
	fi
	unnamed=$files
	if [ "$device" = gpu ]; then
		starts gpu || files=$files:deploy/compose/gpu.yml
	else
		files=$(printf '%s' "$files" | sed 's|:[^:]*/gpu\.yml||')
	fi
	[ "$https" = no ] || starts https || files=$files:deploy/compose/https.yml
	if starts https; then
		https=yes
		domain=$(setting SIGHTLINE_DOMAIN)
		if [ -z "$domain" ] || [ -z "$(setting SIGHTLINE_TLS)" ]; then
			fail https "SIGHTLINE_DOMAIN or SIGHTLINE_TLS is not set" \
				"Write both into .env; deploy/compose/https.yml says what goes into them."
		fi
	fi
	if [ "$files" != "$unnamed" ] || { [ -z "$named" ] && [ "$asked" = cpu ]; }; then
		remember
	fi
	[ -z "$named" ] && [ "$files" = "$unnamed" ] || export COMPOSE_FILE="$files"
}

# Whether an override is among the files: starts gpu.
starts() {
	case "$files:" in *"/$1.yml:"*) return 0 ;; esac
	return 1
}

# Write the files into .env, where every `docker compose` finds them.
remember() {
	if printenv COMPOSE_FILE >/dev/null; then
		warn files "this shell's COMPOSE_FILE is $named; this start takes $files" \
			"Take it out of the shell and write into .env: COMPOSE_FILE=$files"
		return
	fi
	(
		umask 077
		grep -Ev '^[[:space:]]*(export[[:space:]]+)?COMPOSE_FILE[[:space:]]*[=:]' .env >"$work/env" 2>/dev/null || true
		echo "COMPOSE_FILE=$files" >>"$work/env"
		cat "$work/env" >.env
	)
	ok files "COMPOSE_FILE=$files, now in .env"
}

# The containers' users are none of this machine's: what they read must be readable to all.
check_files() {
	hidden=$(find monitoring engines backend frontend deploy -name __pycache__ -prune -o \
		\( -type f ! -perm -004 -o -type d ! -perm -005 \) -print 2>/dev/null | head -n 1)
	[ -z "$hidden" ] ||
		fail files "$hidden can't be read by the containers' users" \
			"chmod -R a+rX monitoring engines backend frontend deploy LICENSE NOTICE"
}

# TURN's name and password go into JSON and into a file of another form.
check_turn() {
	starts turn || return 0
	case "$(setting SIGHTLINE_TURN_USER)$(setting SIGHTLINE_TURN_PASSWORD)" in
	*[!A-Za-z0-9_-]*)
		fail turn "SIGHTLINE_TURN_USER or _PASSWORD has more than letters, digits, - and _" \
			'Make one: python3 -c "import secrets; print(secrets.token_hex(16))"'
		;;
	esac
	[ -z "$(find .env -perm -004 2>/dev/null)" ] ||
		warn turn ".env holds TURN's password, and every user of this machine can read it" \
			"chmod 600 .env"
}

# Sets `device` to cpu or gpu.
choose_device() {
	if [ "$device" = auto ] && [ -n "$named" ]; then
		case "$named:" in
		*/gpu.yml:*) device=gpu ;;
		*) ok device "processor, as COMPOSE_FILE has it (--gpu changes that)" && device=cpu && return ;;
		esac
	fi
	if [ "$device" = cpu ]; then
		ok device "processor, as asked for"
		return
	fi
	gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -n 1) || gpu=
	passes_on=no
	docker info --format '{{json .}}' 2>/dev/null |
		grep -q -e '"nvidia"' -e 'nvidia.com/gpu' && passes_on=yes
	if [ -n "$gpu" ] && [ "$passes_on" = yes ]; then
		device=gpu
		ok device "$gpu"
		return
	fi
	if [ -z "$gpu" ]; then
		found="no NVIDIA GPU that answers nvidia-smi"
		mend="Install NVIDIA's driver if there is a GPU."
	else
		found="$gpu is here, but Docker can't pass it on to a container"
		mend="Install nvidia-container-toolkit, then: sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker"
	fi
	[ "$device" = auto ] || fail device "$found" "$mend" "Or use the processor: ./startup.sh --cpu"
	device=cpu
	if [ -z "$gpu" ]; then
		ok device "processor ($found)"
	else
		warn device "$found; the processor is used" "$mend"
	fi
}

start() {
	limit=$START_LIMIT_S
	[ "$device" = cpu ] || limit=$START_LIMIT_GPU_S
	echo "Starting; the first time the images are built, which takes minutes …"
	{
		docker compose up --build --detach --wait --wait-timeout "$limit" 2>&1 &&
			touch "$work/well"
	} | tee "$work/output"
	[ -e "$work/well" ] || explain
}

# Say why the start failed, and end.
explain() {
	port=$(sed -n \
		-e 's/.*[Bb]ind for [^ ]*:\([0-9][0-9]*\) failed: port is already allocated.*/\1/p' \
		-e 's/.*bind host port for [0-9.]*:\([0-9][0-9]*\):.*already in use.*/\1/p' \
		-e 's/.*listen tcp[46]* [^ ]*:\([0-9][0-9]*\): bind: .*/\1/p' \
		-e 's/.*exposing port TCP [^ ]*:\([0-9][0-9]*\) -> .*/\1/p' \
		"$work/output" | head -n 1)
	[ -z "$port" ] || fail port "another program has port $port" \
		"Stop that, or move Sightline; write into .env: $(variable_of "$port")=$((port + 10))"
	ill=$(docker compose ps --all --format '{{.Service}} {{.State}} {{.Health}} {{.ExitCode}}' |
		awk '$2 == "running" && $3 == "unhealthy" || $2 == "restarting" ||
			$2 == "exited" && $NF != 0 { print $1 }')
	for service in $ill; do
		printf '\nThe last lines of %s:\n' "$service" >&2
		docker compose logs --no-color --no-log-prefix --tail 20 "$service" >&2
	done
	[ -z "$ill" ] || fail start "not well: $(echo "$ill" | tr '\n' ' ')" \
		"Their last lines are above; docs/operations.md goes through it by symptom."
	fail start "Docker Compose gave up, see above" \
		"docs/operations.md goes through it by symptom."
}

variable_of() {
	case $1 in
	"$(setting BACKEND_PORT)") echo BACKEND_PORT ;;
	"$(setting GRAFANA_PORT)") echo GRAFANA_PORT ;;
	*) echo FRONTEND_PORT ;;
	esac
}

announce() {
	if [ "$https" = yes ]; then
		page=https://$domain server=https://$domain/detect grafana=https://$domain/grafana
	else
		page=http://$(address frontend 8501)
		server=http://$(address backend 8000)
		server="$server  (its API: $server/docs)"
		grafana=http://$(address grafana 3000)
	fi
	echo
	echo "Sightline runs."
	echo "  Page     $page"
	echo "  Server   $server"
	echo "  Grafana  $grafana  (user admin; its password: docker compose exec grafana cat /run/grafana/password)"
	echo "  Stop it: ./startup.sh --stop"
	[ "$open" = no ] || open_page "$page"
}

# Print where a container's port is published, as a browser on this machine would say it; where it is
# twice, for IPv4 and IPv6, once.
address() {
	docker compose port "$1" "$2" | head -n 1 |
		sed -e 's/^0\.0\.0\.0:/localhost:/' -e 's/^127\.0\.0\.1:/localhost:/' -e 's/^\[::\]:/localhost:/'
}

open_page() {
	if [ "$(uname)" = Darwin ]; then
		open "$1"
	elif [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] && command -v xdg-open >/dev/null 2>&1; then
		xdg-open "$1" >/dev/null 2>&1 &
	fi
}

main "$@"
