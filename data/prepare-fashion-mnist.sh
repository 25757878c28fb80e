#!/bin/sh
# Makes data/fashion-mnist/: the first 10,000 training images and all 10,000 test images of Fashion-MNIST, as IDX
# files under gzip, from Debian's package dataset-fashion-mnist. The result is the same bytes each time.
#
#   sh data/prepare-fashion-mnist.sh [FOLDER WITH THE PACKAGE'S FILES]
#
# Without an argument, the package is downloaded with apt-get and unpacked in a temporary folder.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out="$here/fashion-mnist"
from=${1:-}
if [ -z "$from" ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  (cd "$work" && apt-get download dataset-fashion-mnist && dpkg -x dataset-fashion-mnist_*.deb .)
  from="$work/usr/share/datasets/fashion-mnist"
fi
count=10000
mkdir -p "$out"
# An IDX header: 0 0 type(8 = u8) rank, then each size, big-endian. 10000 = 0x2710, 28 = 0x1c.
{ printf '\000\000\010\003\000\000\047\020\000\000\000\034\000\000\000\034'
  gzip -dc "$from/train-images-idx3-ubyte.gz" | tail -c +17 | head -c $((count * 784)); } | gzip -9n > "$out/train-images-idx3-ubyte.gz"
{ printf '\000\000\010\001\000\000\047\020'
  gzip -dc "$from/train-labels-idx1-ubyte.gz" | tail -c +9 | head -c $count; } | gzip -9n > "$out/train-labels-idx1-ubyte.gz"
for file in t10k-images-idx3-ubyte t10k-labels-idx1-ubyte; do
  gzip -dc "$from/$file.gz" | gzip -9n > "$out/$file.gz"
done
ls -l "$out"
