//go:build amd64 || arm64

package rdb

import "golang.org/x/sys/cpu"

// foldable: the processor multiplies without carry.
var foldable = cpu.X86.HasPCLMULQDQ && cpu.X86.HasSSE41 || cpu.ARM64.HasPMULL

// foldCRC returns a block of 16 bytes, a being the first eight, whose CRC is that of p going on from crc.
// p has at least foldMin bytes; of those behind the last multiple of 16 nothing is read.
//
//go:noescape
func foldCRC(p []byte, crc uint64, k *[4]uint64) (a, b uint64)
