// Package slowdisk makes a directory whose writes are as slow as one likes: what
// a save does to the clients of a server while the disk cannot keep up.
//
//	server --write(2)--> kernel --FUSE--> this process --pwrite(2)--> backing directory
//	                                      waits here until a disk of the
//	                                      given rate would have the bytes
//
// It is a loopback file system (FUSE, by go-fuse) over a backing directory, so
// that any server can save into it unchanged: kvd from a forked child or from a
// thread, redis-server, pebble. A write returns when the bytes' time is over and
// they are in the backing file; there is no writeback cache of the kernel's in
// between that would swallow a burst first. All writers of a mount share the one
// rate. Reads, renames, locks and the rest go through at full speed, and so does
// fsync, which has nothing left to wait for but the real disk.
//
// A write that is interrupted by a signal returns early and short, as soon as
// the piece is done that is being paid for (20 ms worth): a process that is
// killed in a slow write dies at once.
//
// # The mounting process keeps away from it
//
// The process that mounted is the one that serves. It must not start a child
// whose working directory is below the mount point (exec.Cmd's Dir): between
// fork and exec the Go runtime holds still, waiting for the child, which waits
// for this process to answer its chdir. Give the server its directory as an
// argument (--dir) instead. Nor should it write there itself: a process that is
// killed while it waits for its own answer never ends.
//
// # What is left behind
//
// Nothing after [Disk.Unmount]. When the mounting process is killed, a watcher
// (a shell that waits for the end of a pipe) unmounts in its place. Should that
// be killed too, the mount point answers "Transport endpoint is not connected";
// [Mount] and [CleanStale] take such a remnant away, and so does
// `umount -l MOUNTPOINT` (`fusermount3 -u -z MOUNTPOINT` without root).
package slowdisk
