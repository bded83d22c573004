#include "textflag.h"

#define SYS_read 0
#define SYS_close 3
#define SYS_clone 56
#define SYS_exit 60
#define SYS_prctl 157
#define PR_SET_PDEATHSIG 1
#define SIGKILL 9

// func rawClone(flags uintptr, tid *int32, readFD, shutFD int, buf *byte) int
//
// The child lives in registers alone: it shares its stack pointer with the
// parent, and with CLONE_VM the stack too.
TEXT ·rawClone(SB), NOSPLIT, $0-48
	MOVQ  flags+0(FP), DI
	XORL  SI, SI            // stack: as the parent
	MOVQ  tid+8(FP), DX
	MOVQ  DX, R10
	XORL  R8, R8            // tls: not set
	MOVQ  readFD+16(FP), R12
	MOVQ  shutFD+24(FP), R13
	MOVQ  buf+32(FP), BX
	MOVL  $SYS_clone, AX
	SYSCALL
	TESTQ AX, AX
	JEQ   child
	MOVQ  AX, ret+40(FP)
	RET

child:
	TESTQ R12, R12
	JLT   end
	MOVL  $PR_SET_PDEATHSIG, DI
	MOVL  $SIGKILL, SI
	XORL  DX, DX
	XORL  R10, R10
	XORL  R8, R8
	MOVL  $SYS_prctl, AX
	SYSCALL
	MOVQ  R13, DI
	MOVL  $SYS_close, AX
	SYSCALL
	MOVQ  R12, DI
	MOVQ  BX, SI
	MOVL  $1, DX
	MOVL  $SYS_read, AX
	SYSCALL

end:
	XORL DI, DI
	MOVL $SYS_exit, AX
	SYSCALL
	JMP  end
