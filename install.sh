#!/usr/bin/env bash
# Builds and installs pilotctl, pilot-daemon and rendezvous for this user. Needs the .NET 10 SDK and nothing else; no root.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: ./install.sh [options]

  (none)           build and install pilotctl, pilot-daemon and rendezvous
  --demo           install, then show two agents finding, trusting and talking to each other on this machine
  --prefix DIR     install under DIR/lib/pilot with links in DIR/bin   (default: ~/.local)
  --service        also write, enable and start a service for pilot-daemon (systemd user unit, or launchd agent)
  --rendezvous-service
                   the same for rendezvous (systemd user unit), with the dashboard on 127.0.0.1:3000
  --uninstall      remove programs, links and service; identity and trust in ~/.pilot stay
  --purge          with --uninstall: remove ~/.pilot as well
  --help           this text

Environment for --service: PILOT_HOSTNAME, PILOT_EMAIL, PILOT_REGISTRY, PILOT_PUBLIC=1
TEXT
}

prefix="$HOME/.local" demo=no service=no rendezvous_service=no uninstall=no purge=no
while [ $# -gt 0 ]; do
  case "$1" in
    --demo) demo=yes ;;
    --prefix) [ $# -ge 2 ] || { echo "--prefix needs a directory" >&2; exit 2; }; prefix=$2; shift ;;
    --prefix=*) prefix=${1#*=} ;;
    --service) service=yes ;;
    --rendezvous-service) rendezvous_service=yes ;;
    --uninstall|uninstall) uninstall=yes ;;
    --purge) purge=yes ;;
    -h|--help) usage; exit 0 ;;
    *) echo "unknown option: $1" >&2; usage >&2; exit 2 ;;
  esac
  shift
done

case "$prefix" in /*) ;; *) prefix="$PWD/$prefix" ;; esac
source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
lib="$prefix/lib/pilot"
bin="$prefix/bin"
programs="pilotctl pilot-daemon rendezvous"
systemd_unit="${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user/pilot-daemon.service"
rendezvous_unit="${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user/rendezvous.service"
launchd_plist="$HOME/Library/LaunchAgents/net.pilot.pilot-daemon.plist"

say() { printf '%s\n' "$*"; }
fail() { printf 'install.sh: %s\n' "$*" >&2; exit 1; }

project_of() {
  case "$1" in pilotctl) echo Pilot.Cli ;; pilot-daemon) echo Pilot.Daemon ;; rendezvous) echo Pilot.Rendezvous ;; esac
}

runtime_id() {
  local os arch
  case "$(uname -m)" in x86_64|amd64) arch=x64 ;; aarch64|arm64) arch=arm64 ;; *) fail "unsupported machine: $(uname -m)" ;; esac
  case "$(uname -s)" in
    Linux) os=linux; if (ldd --version 2>&1 || true) | grep -qi musl; then os=linux-musl; fi ;;
    Darwin) os=osx ;;
    *) fail "unsupported system: $(uname -s)" ;;
  esac
  echo "$os-$arch"
}

publish() { # program output-directory
  local project; project=$(project_of "$1")
  local log="$stage/$1.log"
  local common=(publish "$source_dir/src/$project" -c Release -r "$rid" -o "$2" -v quiet -nologo)
  # The daemon, which always runs, with a runtime of its own cut down to what it uses: a quarter less memory at rest.
  if [ "$1" = pilot-daemon ]; then
    dotnet "${common[@]}" --self-contained true -p:PublishTrimmed=true -p:PublishReadyToRun=true >"$log" 2>&1 && return
    say "  (with the whole runtime)"
    rm -rf "$2"
  fi
  common+=(--self-contained false)
  # Precompiled code starts twice as fast; where its compiler cannot be had, do without.
  dotnet "${common[@]}" -p:PublishReadyToRun=true >"$log" 2>&1 && return
  say "  (without precompilation)"
  rm -rf "$2"
  dotnet "${common[@]}" >"$log" 2>&1 || { cat "$log" >&2; fail "building $1 failed"; }
}

link_program() { # program
  local target="$lib/$1/$1" dotnet_root
  mkdir -p "$bin"
  dotnet_root=$(dirname "$(readlink -f "$(command -v dotnet)" 2>/dev/null || command -v dotnet)")
  rm -f "$bin/$1"
  case "$dotnet_root" in
    /usr/share/dotnet|/usr/lib/dotnet|/usr/lib64/dotnet|/usr/local/share/dotnet) ln -s "$target" "$bin/$1" ;;
    *) # The programs would not find a runtime in a private place by themselves.
      printf '#!/bin/sh\nDOTNET_ROOT="${DOTNET_ROOT:-%s}" exec "%s" "$@"\n' "$dotnet_root" "$target" >"$bin/$1"
      chmod 755 "$bin/$1" ;;
  esac
}

install_programs() {
  command -v dotnet >/dev/null 2>&1 || fail "the .NET 10 SDK is needed: https://dotnet.microsoft.com/download"
  rid=$(runtime_id)
  mkdir -p "$prefix/lib" "$bin" || fail "cannot write to $prefix"
  stage=$(mktemp -d "$prefix/lib/.pilot-install.XXXXXX")
  trap 'rm -rf "$stage"' EXIT
  export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 DOTNET_SKIP_FIRST_TIME_EXPERIENCE=1
  for program in $programs; do
    say "building $program ..."
    publish "$program" "$stage/pilot/$program"
    "$stage/pilot/$program/$program" "$(version_flag "$program")" >/dev/null 2>"$stage/$program.log" \
      || DOTNET_ROOT=$(dirname "$(readlink -f "$(command -v dotnet)")") "$stage/pilot/$program/$program" "$(version_flag "$program")" >/dev/null 2>"$stage/$program.log" \
      || { cat "$stage/$program.log" >&2; fail "$program was built but does not run"; }
  done
  rm -rf "$lib.old"
  if [ -d "$lib" ]; then mv "$lib" "$lib.old"; fi
  mv "$stage/pilot" "$lib"
  rm -rf "$lib.old" "$stage"
  trap - EXIT
  for program in $programs; do link_program "$program"; done
  say "installed: $bin/pilotctl, $bin/pilot-daemon, $bin/rendezvous"
  case ":$PATH:" in
    *":$bin:"*) ;;
    *) say "add to your shell profile: export PATH=\"$bin:\$PATH\"" ;;
  esac
}

version_flag() { if [ "$1" = pilotctl ]; then echo version; else echo -h; fi; }

# ---------------------------------------------------------------- service

check_word() { # what value pattern
  [ -z "$2" ] || printf '%s' "$2" | grep -Eqx "$3" || fail "$1 is not valid: $2"
}

service_arguments() {
  check_word PILOT_HOSTNAME "${PILOT_HOSTNAME:-}" '[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?'
  check_word PILOT_EMAIL "${PILOT_EMAIL:-}" '[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+'
  check_word PILOT_REGISTRY "${PILOT_REGISTRY:-}" '[A-Za-z0-9.:,_-]+|\[[0-9a-fA-F:]+\]:[0-9]+'
  if [ -n "${PILOT_HOSTNAME:-}" ]; then echo "-hostname=$PILOT_HOSTNAME"; fi
  if [ -n "${PILOT_EMAIL:-}" ]; then echo "-email=$PILOT_EMAIL"; fi
  if [ -n "${PILOT_REGISTRY:-}" ]; then echo "-registry=$PILOT_REGISTRY"; fi
  if [ -n "${PILOT_PUBLIC:-}" ]; then echo "-public"; fi
}

install_service() {
  local arguments; arguments=$(service_arguments)
  if [ "$(uname -s)" = Darwin ]; then
    mkdir -p "$(dirname "$launchd_plist")"
    {
      printf '%s\n' '<?xml version="1.0" encoding="UTF-8"?>' '<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">' \
        '<plist version="1.0"><dict>' '<key>Label</key><string>net.pilot.pilot-daemon</string>' '<key>ProgramArguments</key><array>' "<string>$bin/pilot-daemon</string>"
      for argument in $arguments; do printf '<string>%s</string>\n' "$argument"; done
      printf '%s\n' '</array>' '<key>RunAtLoad</key><true/>' '<key>KeepAlive</key><dict><key>SuccessfulExit</key><false/></dict>' '</dict></plist>'
    } >"$launchd_plist"
    launchctl unload "$launchd_plist" 2>/dev/null || true
    launchctl load "$launchd_plist" && say "service loaded: $launchd_plist"
    return
  fi
  mkdir -p "$(dirname "$systemd_unit")"
  cat >"$systemd_unit" <<UNIT
[Unit]
Description=Pilot daemon
After=network-online.target
Wants=network-online.target

[Service]
ExecStart="$bin/pilot-daemon" -log-console=false $(echo $arguments)
Restart=on-failure
RestartSec=5

[Install]
WantedBy=default.target
UNIT
  if systemctl --user daemon-reload 2>/dev/null && systemctl --user enable --now pilot-daemon.service; then
    say "service enabled and started: $systemd_unit"
  else
    say "service written, but systemd does not answer for this user: $systemd_unit"
    say "  start it with: systemctl --user enable --now pilot-daemon.service"
  fi
}

install_rendezvous_service() {
  [ "$(uname -s)" = Linux ] || fail "--rendezvous-service writes a systemd unit; there is no systemd here"
  mkdir -p "$(dirname "$rendezvous_unit")"
  cat >"$rendezvous_unit" <<UNIT
[Unit]
Description=Pilot rendezvous (registry, beacon, dashboard)
After=network-online.target
Wants=network-online.target

[Service]
Type=notify
ExecStart="$bin/rendezvous" -http 127.0.0.1:3000
ExecReload=/bin/kill -HUP \$MAINPID
# Secrets and more: PILOT_ADMIN_TOKEN=..., PILOT_STORE=Host=...
EnvironmentFile=-%h/.pilot/rendezvous.env
Restart=on-failure
RestartSec=1
WatchdogSec=30
LimitNOFILE=200000

[Install]
WantedBy=default.target
UNIT
  if systemctl --user daemon-reload 2>/dev/null && systemctl --user enable --now rendezvous.service; then
    say "service enabled and started: $rendezvous_unit"
  else
    say "service written, but systemd does not answer for this user: $rendezvous_unit"
    say "  start it with: systemctl --user enable --now rendezvous.service"
  fi
}

uninstall_all() {
  if [ -x "$bin/pilotctl" ]; then
    # The running daemon is stopped when it is the one that is removed here.
    local pid; pid=$("$bin/pilotctl" --json daemon status 2>/dev/null | sed -n 's/.*"pid":\([0-9]*\).*/\1/p')
    if [ "${pid:-0}" -gt 0 ] && ps -o command= -p "$pid" | grep -q "$lib/"; then "$bin/pilotctl" daemon stop || true; fi
  fi
  if [ -f "$systemd_unit" ]; then
    systemctl --user disable --now pilot-daemon.service >/dev/null 2>&1 || true
    rm -f "$systemd_unit"
    systemctl --user daemon-reload >/dev/null 2>&1 || true
  fi
  if [ -f "$rendezvous_unit" ]; then
    systemctl --user disable --now rendezvous.service >/dev/null 2>&1 || true
    rm -f "$rendezvous_unit"
    systemctl --user daemon-reload >/dev/null 2>&1 || true
  fi
  if [ -f "$launchd_plist" ]; then
    launchctl unload "$launchd_plist" >/dev/null 2>&1 || true
    rm -f "$launchd_plist"
  fi
  for program in $programs; do
    # Only what this script made: a link into our directory, or our two-line script.
    if [ -L "$bin/$program" ] || grep -qs "$lib/" "$bin/$program"; then rm -f "$bin/$program"; fi
  done
  rm -rf "$lib"
  if [ "$purge" = yes ]; then
    rm -rf "${PILOT_HOME:-$HOME/.pilot}"
    say "removed programs, links, service and ${PILOT_HOME:-$HOME/.pilot}"
  else
    say "removed programs, links and service; ${PILOT_HOME:-$HOME/.pilot} (identity, trust) stays — delete it with --uninstall --purge"
  fi
}

# ---------------------------------------------------------------- demonstration

sha256() { if command -v sha256sum >/dev/null 2>&1; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d' ' -f1; }

run_demo() {
  local name
  for name in $(env | sed -n 's/^\(PILOT_[A-Z_]*\)=.*/\1/p'); do unset "$name"; done
  work=$(mktemp -d "${TMPDIR:-/tmp}/pilot-demo.XXXXXX")
  rendezvous_pid=
  trap demo_cleanup EXIT
  trap 'exit 130' INT TERM
  export PATH="$bin:$PATH"

  step "A rendezvous for this demonstration: registry and beacon on free ports of this machine"
  show "rendezvous -registry-addr 127.0.0.1:0 -beacon-addr 127.0.0.1:0 &"
  rendezvous -registry-addr 127.0.0.1:0 -beacon-addr 127.0.0.1:0 -data "$work/rendezvous" -ready-file "$work/ready.json" \
    >"$work/rendezvous.log" 2>&1 &
  rendezvous_pid=$!
  wait_for "the rendezvous" test -s "$work/ready.json"
  PILOT_REGISTRY=$(sed -n 's/.*"registry": *"\([^"]*\)".*/\1/p' "$work/ready.json")
  PILOT_BEACON=$(sed -n 's/.*"beacon": *"\([^"]*\)".*/\1/p' "$work/ready.json")
  export PILOT_REGISTRY PILOT_BEACON
  say "registry $PILOT_REGISTRY, beacon $PILOT_BEACON"

  step "Two agents, each with its own identity and state"
  agent a daemon start --hostname agent-a
  agent b daemon start --hostname agent-b

  step "Both are private: agent-b cannot be found by agent-a yet"
  if agent a find agent-b; then fail "a private node was found without trust"; fi

  step "They ask each other for trust, by name"
  agent a handshake agent-b "hello from a"
  agent b handshake agent-a
  wait_for "mutual trust at agent-a" trusts a
  wait_for "mutual trust at agent-b" trusts b
  agent a trust
  agent a find agent-b

  step "Ping, through an encrypted tunnel"
  agent a ping agent-b --count 3 --interval 200ms

  step "A message each way"
  receive b "$work/to-b"
  agent a connect agent-b --message "hello, peer"
  finish_receive b "hello, peer" "$work/to-b"
  receive a "$work/to-a"
  agent b connect agent-a --message "hello yourself"
  finish_receive a "hello yourself" "$work/to-a"

  step "100 MB of random bytes from agent-a to agent-b, checked by SHA-256"
  head -c 100000000 /dev/urandom >"$work/sent.bin"
  show "agent-b\$ pilotctl recv 1000 --out received.bin &"
  receive b "$work/recv.log" --out "$work/received.bin" --timeout 120s
  local started ended
  started=$(now)
  agent a send agent-b 1000 --file "$work/sent.bin" --timeout 120s
  wait "$receiver_pid" || fail "the receiver failed: $(cat "$work/recv.log")"
  ended=$(now)
  say "sent      $(sha256 "$work/sent.bin")"
  say "received  $(sha256 "$work/received.bin")"
  [ "$(sha256 "$work/sent.bin")" = "$(sha256 "$work/received.bin")" ] || fail "the files differ"
  say "✓ equal, $(awk -v s="$started" -v e="$ended" 'BEGIN { t = e - s; if (t <= 0) t = 0.001; printf "%.1f s, %.0f MB/s", t, 100 / t }') including both programs' start"

  step "Everything is stopped and removed"
  trap - EXIT
  demo_cleanup || fail "something was left running"
  say "✓ nothing left running, $work removed"
}

demo_cleanup() {
  local left=0
  for name in a b; do
    if [ -S "$work/$name.sock" ]; then PILOT_HOME="$work/$name" PILOT_SOCKET="$work/$name.sock" pilotctl daemon stop >/dev/null 2>&1 || left=1; fi
  done
  if [ -n "$rendezvous_pid" ]; then
    kill "$rendezvous_pid" 2>/dev/null || true
    wait "$rendezvous_pid" 2>/dev/null || true
  fi
  rm -rf "$work"
  return $left
}

now() { date +%s.%N 2>/dev/null | sed 's/\.N$//'; }
step() { printf '\n== %s\n' "$*"; }
show() { printf '%s\n' "$*"; }

agent() { # a|b arguments of pilotctl
  local name=$1; shift
  local shown="" word
  for word in "$@"; do case "$word" in *[!A-Za-z0-9_./:=-]*) shown="$shown \"$word\"" ;; *) shown="$shown $word" ;; esac; done
  show "agent-$name\$ pilotctl$shown"
  quiet "$name" "$@"
}

quiet() {
  local name=$1; shift
  PILOT_HOME="$work/$name" PILOT_SOCKET="$work/$name.sock" pilotctl "$@"
}

trusts() { quiet "$1" --json trust 2>/dev/null | grep -q '"mutual":true'; }
ports() { quiet "$1" --json info | sed 's/.*"ports":\([0-9]*\).*/\1/'; }
more_ports() { [ "$(ports "$1")" -gt "$2" ]; }

receive() { # a|b file more arguments of recv: waits until the port is bound
  local name=$1 file=$2 before
  shift 2
  before=$(ports "$name")
  quiet "$name" recv 1000 "$@" >"$file" 2>&1 &
  receiver_pid=$!
  wait_for "recv at agent-$name" more_ports "$name" "$before"
}

finish_receive() { # a|b expected file
  wait "$receiver_pid"
  say "agent-$1 received: $(cat "$3")"
  [ "$(cat "$3")" = "$2" ] || fail "the message changed on its way"
}

wait_for() { # what command...
  local what=$1 tries=0; shift
  until "$@"; do
    tries=$((tries + 1))
    if [ $tries -ge 300 ]; then fail "$what: not in time"; fi
    sleep 0.1
  done
}

# ---------------------------------------------------------------- main

if [ "$uninstall" = yes ]; then uninstall_all; exit 0; fi
install_programs
if [ "$service" = yes ]; then install_service; fi
if [ "$rendezvous_service" = yes ]; then install_rendezvous_service; fi
if [ "$demo" = yes ]; then run_demo; else say "next: $bin/pilotctl daemon start --hostname <name>   (or ./install.sh --demo)"; fi
