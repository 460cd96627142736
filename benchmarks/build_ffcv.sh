#!/bin/bash
# Build FFCV 1.0.2 for loading.py without root, on Debian 12:   benchmarks/build_ffcv.sh FOLDER [PYTHON]
# FOLDER/v becomes a venv that sees all packages of PYTHON's environment and has FFCV and webdataset besides; nothing else is changed.
# OpenCV and turbojpeg come from Debian's packages, unpacked into FOLDER/root; FFCV includes all of OpenCV but uses core and imgproc only.
set -e
mkdir -p "$1"; HERE=$(realpath "$1"); PY=${2:-python}; R=$HERE/root; L=$R/usr/lib/$(gcc -dumpmachine | sed s/-pc-/-/)
mkdir -p "$HERE/debs" "$HERE/pc"; cd "$HERE/debs"
apt-get download libturbojpeg0 libturbojpeg0-dev libopencv-dev libopencv-core-dev libopencv-imgproc-dev libopencv-core406 libopencv-imgproc406 \
  libblas3 liblapack3 libgfortran5 libtbb12 libtbbmalloc2 libtbbbind-2-5 libhwloc15 libglx0 libglvnd0 libx11-6 libxcb1 libxau6 libxdmcp6 libbsd0 libmd0
for d in *.deb; do dpkg -x "$d" "$R"; done
printf '#pragma once\n#include "opencv2/core.hpp"\n#include "opencv2/imgproc.hpp"\n' > "$R/usr/include/opencv4/opencv2/opencv.hpp"
for o in "opencv4;-lopencv_core -lopencv_imgproc;opencv4;4.6.0" "libturbojpeg;-lturbojpeg;;2.1.5"; do
  IFS=';' read -r n l i v <<< "$o"
  printf 'Name: %s\nDescription: %s\nVersion: %s\nLibs: -L%s %s\nCflags: -I%s/usr/include/%s\n' "$n" "$n" "$v" "$L" "$l" "$R" "$i" > "$HERE/pc/$n.pc"
done
SITE=$("$PY" -c "import site; print(site.getsitepackages()[0])"); NUMPY=$("$PY" -c "import numpy; print(numpy.__version__)")
"$PY" -m venv "$HERE/v"; V=$HERE/v/bin
echo "import site; site.addsitedir('$SITE')" > "$("$V/python" -c "import site; print(site.getsitepackages()[0])")/project.pth"
"$V/pip" install -q setuptools wheel pkgconfig "numpy==$NUMPY" terminaltables assertpy fastargs pytorch-pfn-extras webdataset opencv-python-headless
LDFLAGS="-Wl,-rpath,$L:$L/blas:$L/lapack,--disable-new-dtags" PKG_CONFIG_PATH=$HERE/pc LIBRARY_PATH=$L LD_LIBRARY_PATH=$L:$L/blas:$L/lapack \
  "$V/pip" install -q --no-build-isolation --no-deps --no-cache-dir ffcv==1.0.2
"$V/python" -c "import ffcv.loader, zoofast; print('$V/python benchmarks/loading.py now has the FFCV arm')"
