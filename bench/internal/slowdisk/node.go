//go:build linux

package slowdisk

import (
	"context"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// node is a file or directory: go-fuse's loopback, but files that are opened for
// writing go through the throttle.
type node struct {
	fs.LoopbackNode
	disk *Disk
}

var (
	_ fs.NodeCreater        = (*node)(nil)
	_ fs.NodeOpener         = (*node)(nil)
	_ fs.NodeCopyFileRanger = (*node)(nil)
	_ fs.NodeRenamer        = (*node)(nil) // of LoopbackNode, for all its embedders
	_ fs.NodeStatfser       = (*node)(nil)
	_ fs.FileWriter         = (*file)(nil)
	_ fs.FileReader         = (*file)(nil)
	_ backingFile           = (*file)(nil)
)

// newRoot returns the root of a loopback over the directory at path.
func newRoot(d *Disk, path string) (fs.InodeEmbedder, error) {
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		return nil, err
	}
	root := &fs.LoopbackRoot{
		Path: path, Dev: uint64(st.Dev),
		NewNode: func(data *fs.LoopbackRoot, _ *fs.Inode, _ string, _ *syscall.Stat_t) fs.InodeEmbedder {
			return &node{LoopbackNode: fs.LoopbackNode{RootData: data}, disk: d}
		},
	}
	root.RootNode = root.NewNode(root, nil, "", &st)
	return root.RootNode, nil
}

// Create implements fs.NodeCreater. O_EXCL reaches the backing directory.
func (n *node) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	child, h, _, errno := n.LoopbackNode.Create(ctx, name, flags|syscall.O_CLOEXEC, mode, out)
	if errno != 0 {
		return nil, nil, 0, errno
	}
	wrapped, fuseFlags := n.wrap(h, flags)
	return child, wrapped, fuseFlags, 0
}

// Open implements fs.NodeOpener.
func (n *node) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	h, _, errno := n.LoopbackNode.Open(ctx, flags|syscall.O_CLOEXEC)
	if errno != 0 {
		return nil, 0, errno
	}
	wrapped, fuseFlags := n.wrap(h, flags)
	return wrapped, fuseFlags, 0
}

// wrap returns the handle that the kernel gets, and how the kernel shall treat
// it: a file that may be written bypasses its page cache, so that a write is not
// copied twice; one that is only read may be cached, and mapped.
func (n *node) wrap(h fs.FileHandle, flags uint32) (fs.FileHandle, uint32) {
	f := &file{backingFile: h.(backingFile), disk: n.disk}
	if flags&syscall.O_ACCMODE == syscall.O_RDONLY {
		return f, 0
	}
	return f, fuse.FOPEN_DIRECT_IO
}

// CopyFileRange implements fs.NodeCopyFileRanger: there is none, or copies would
// not be throttled. The kernel then reads and writes.
func (n *node) CopyFileRange(context.Context, fs.FileHandle, uint64, *fs.Inode, fs.FileHandle, uint64, uint64, uint64) (uint32, syscall.Errno) {
	return 0, syscall.ENOSYS
}

// backingFile is what a loopback file can do, less what must not reach the
// kernel: a descriptor to write to past this process, and locks: without them
// the kernel keeps locks itself, which serves every process of this machine.
type backingFile interface {
	fs.FileReader
	fs.FileWriter
	fs.FileReleaser
	fs.FileGetattrer
	fs.FileSetattrer
	fs.FileLseeker
	fs.FileFlusher
	fs.FileFsyncer
	fs.FileAllocater
}

// file is an open file.
type file struct {
	backingFile
	disk *Disk
}

// Write implements fs.FileWriter. An interrupt ends it short, never with
// nothing written: the signal may be one that the process survives, and a
// server need not expect EINTR from a file.
func (f *file) Write(ctx context.Context, data []byte, off int64) (uint32, syscall.Errno) {
	done := uint32(0)
	for len(data) > 0 && (done == 0 || ctx.Err() == nil) {
		n, errno := f.disk.throttle.take(len(data))
		if errno != 0 {
			return short(done, errno)
		}
		for piece := data[:n]; len(piece) > 0; {
			written, errno := f.backingFile.Write(ctx, piece, off)
			if errno == syscall.EINTR {
				continue
			}
			if errno != 0 {
				return short(done, errno)
			}
			f.disk.written.Add(int64(written))
			piece, off, done = piece[written:], off+int64(written), done+written
		}
		data = data[n:]
	}
	return done, 0
}

// short is the result of a write that failed after done bytes: the error comes
// with the next one.
func short(done uint32, errno syscall.Errno) (uint32, syscall.Errno) {
	if done > 0 {
		return done, 0
	}
	return 0, errno
}
