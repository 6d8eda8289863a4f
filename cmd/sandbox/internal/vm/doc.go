// Package vm boots a Debian guest with OpenZFS's kernel module, in QEMU, and runs a script in it.
//
// zfs-fuse is a stand-in from 2012; users have OpenZFS, which is a module of a kernel, and a sandbox should not load
// modules into the kernel of the machine it is tried on. So the guest has a kernel of its own.
//
// Its image is made once (image.go) and kept under /var/cache, in a folder whose name is a digest of the recipe:
// another recipe is another image. Nothing is mounted and no device made for it, since that is not allowed
// everywhere: mmdebstrap extracts packages into a folder, this machine's compiler builds the module, and mke2fs makes a
// file system of it. What takes an emulated processor long is left out: no package is installed, and the guest comes to
// its root by a few drivers (early.sh), not by Debian's initramfs.
//
// A guest lives once (life.go). It boots from the image, over which it sees only its own writes, gets a folder of
// files as a tar archive on a disk, and runs the file "run" of it as root. What that prints comes out by one serial
// port and its exit status by another; then the guest is gone, and of its disks only those stay that were given to it.
// A guest that ends without a status did not end well, whatever QEMU says.
//
// Where KVM works it is used, and found out by trying: a device file that opens says little (accel.go).
package vm
