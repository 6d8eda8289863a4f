// Package shapes backs up datasets of every kind that OpenZFS has, in a guest that has it: encrypted ones whose key is
// not loaded, compressed ones, volumes, clones, full ones, ones that are mounted nowhere.
//
// Each is a test: it is made and filled, backed up in full, changed, backed up incrementally, and restored from the
// incremental, which brings both. What is compared is each snapshot of the source with the snapshot of the same name
// of what was restored. Chunks are not encrypted, and the remote is a folder: what gpg and rclone do does not depend
// on the dataset, and takes an emulated processor seconds.
package shapes
