#include "textflag.h"

#define SYS_close 57
#define SYS_read 63
#define SYS_exit 93
#define SYS_prctl 167
#define SYS_clone 220
#define PR_SET_PDEATHSIG 1
#define SIGKILL 9

// func rawClone(flags uintptr, tid *int32, readFD, shutFD int, buf *byte) int
//
// The child lives in registers alone: it shares its stack pointer with the
// parent, and with CLONE_VM the stack too.
TEXT ·rawClone(SB), NOSPLIT, $0-48
	MOVD flags+0(FP), R0
	MOVD $0, R1             // stack: as the parent
	MOVD tid+8(FP), R2
	MOVD $0, R3             // tls: not set; here it comes before the child's tid
	MOVD R2, R4
	MOVD readFD+16(FP), R19
	MOVD shutFD+24(FP), R20
	MOVD buf+32(FP), R21
	MOVD $SYS_clone, R8
	SVC
	CBZ  R0, child
	MOVD R0, ret+40(FP)
	RET

child:
	TBNZ $63, R19, end
	MOVD $PR_SET_PDEATHSIG, R0
	MOVD $SIGKILL, R1
	MOVD $0, R2
	MOVD $0, R3
	MOVD $0, R4
	MOVD $SYS_prctl, R8
	SVC
	MOVD R20, R0
	MOVD $SYS_close, R8
	SVC
	MOVD R19, R0
	MOVD R21, R1
	MOVD $1, R2
	MOVD $SYS_read, R8
	SVC

end:
	MOVD $0, R0
	MOVD $SYS_exit, R8
	SVC
	B    end
