# Builds OpenZFS's module for the kernel of the Debian in $tree from the packages in this folder, by this machine's
# compiler.
set -e
for package in *.deb; do
	dpkg-deb -x "$package" .
done
kernel=$(ls "$tree/lib/modules")
headers=$PWD/usr/src/linux-headers-$kernel
common=$PWD/usr/src/linux-headers-${kernel%-cloud-amd64}-common
echo "include $common/Makefile" >"$headers/Makefile" # the only name in there that says where it all lies
cd usr/src/zfs-*
./configure --disable-dependency-tracking --with-config=kernel --with-linux="$common" --with-linux-obj="$headers" CC=gcc-12
make -j"$(nproc)"
mkdir "$tree/lib/modules/$kernel/updates"
find module -name '*.ko' -exec strip --strip-debug {} + -exec cp -t "$tree/lib/modules/$kernel/updates" {} +
chroot "$tree" depmod "$kernel"
