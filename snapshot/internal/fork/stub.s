// Empty: its presence lets the compiler accept the functions without a body
// that clone.go links to the runtime.
