#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the stock clients that the flow tests check our work with: cosign, skopeo, umoci.
# Needs Go and apt, no root. Go checks modules against its checksum database, apt its archive.
#
#   ci/install-clients.sh FOLDER        # then: PATH=FOLDER:$PATH make test
set -eu

if [ $# -ne 1 ]; then
    echo "usage: $0 FOLDER" >&2
    exit 2
fi
mkdir -p "$1"
bin=$(cd "$1" && pwd)

if [ ! -x "$bin/cosign" ]; then
    echo "building cosign"
    CGO_ENABLED=0 GOBIN=$bin go install -trimpath github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3
fi

# Debian's packages, unpacked beside and started with their own libraries. All but libc: that one
# has to fit the loader that is there.
if [ ! -x "$bin/skopeo" ] || [ ! -x "$bin/umoci" ]; then
    echo "unpacking skopeo and umoci"
    root=$bin/.debian
    mkdir -p "$root/packages"
    needed=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts \
        --no-breaks --no-replaces --no-enhances skopeo umoci | grep '^[a-z]' | grep -v '^libc6$')
    # shellcheck disable=SC2086
    (cd "$root/packages" && apt-get download -qq $needed)
    for package in "$root/packages"/*.deb; do
        dpkg-deb -x "$package" "$root"
    done
    for name in skopeo umoci; do
        cat > "$bin/$name" <<END
#!/bin/sh
libraries=\$(find "$root/lib" "$root/usr/lib" -maxdepth 1 -type d -name '*-linux-gnu*' | paste -sd:)
exec env LD_LIBRARY_PATH="\$libraries" "$root/usr/bin/$name" "\$@"
END
        chmod +x "$bin/$name"
    done
fi
"$bin/cosign" version >/dev/null && "$bin/skopeo" --version && "$bin/umoci" --version
