//go:build amd64 || arm64

package arena

import "unsafe"

// prefetch asks for the cache lines of the n bytes at p, at least one. It waits for nothing and
// cannot fault.
//
//go:noescape
func prefetch(p unsafe.Pointer, n uintptr)
