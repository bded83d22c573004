//go:build !amd64 && !arm64

package arena

import "unsafe"

func prefetch(unsafe.Pointer, uintptr) {}
