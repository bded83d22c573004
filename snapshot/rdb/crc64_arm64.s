#include "textflag.h"

// FOLD multiplies the block acc by the constants of k and adds next. V4 and V5 are scratch.
#define FOLD(k, acc, next) \
	VPMULL  k.D1, acc.D1, V4.Q1; \
	VPMULL2 k.D2, acc.D2, V5.Q1; \
	VEOR    V4.B16, next.B16, acc.B16; \
	VEOR    V5.B16, acc.B16, acc.B16

// func foldCRC(p []byte, crc uint64, k *[4]uint64) (a, b uint64)
//
// Four accumulators of 128 bits; each step multiplies an accumulator by x^512
// modulo the polynomial and adds the next 16 bytes of its lane. They are joined
// by steps of x^128, as are the blocks that are left. See crcFold.
TEXT ·foldCRC(SB), NOSPLIT, $0-56
	MOVD p_base+0(FP), R0
	MOVD p_len+8(FP), R1
	MOVD crc+24(FP), R2
	MOVD k+32(FP), R3

	VLD1   (R3), [V8.D2, V9.D2] // fold by 512 bits, by 128
	VLD1.P 64(R0), [V0.B16, V1.B16, V2.B16, V3.B16]
	VEOR   V4.B16, V4.B16, V4.B16
	VMOV   R2, V4.D[0]
	VEOR   V4.B16, V0.B16, V0.B16
	SUB    $64, R1
	CMP    $64, R1
	BLT    join

loop64:
	VLD1.P 64(R0), [V16.B16, V17.B16, V18.B16, V19.B16]
	FOLD(V8, V0, V16)
	FOLD(V8, V1, V17)
	FOLD(V8, V2, V18)
	FOLD(V8, V3, V19)
	SUB $64, R1
	CMP $64, R1
	BGE loop64

join:
	FOLD(V9, V0, V1)
	FOLD(V9, V0, V2)
	FOLD(V9, V0, V3)
	CMP $16, R1
	BLT done

loop16:
	VLD1.P 16(R0), [V16.B16]
	FOLD(V9, V0, V16)
	SUB $16, R1
	CMP $16, R1
	BGE loop16

done:
	VMOV V0.D[0], R4
	VMOV V0.D[1], R5
	MOVD R4, a+40(FP)
	MOVD R5, b+48(FP)
	RET
