// Package host is the servers under test as processes: it starts them or attaches
// to running ones, asks them for INFO, waits for their saves, and reads the
// kernel's figures about them and their children from /proc.
//
// What it starts listens on 127.0.0.1, is in a process group of its own (Ctrl-C
// at the terminal reaches the benchmark alone) and dies with this process.
//
// It knows the servers' protocol and files only and works for kvd, redis-server,
// valkey-server and the peers that bench itself runs. It may import the result
// package and nothing else of the project. Linux only.
package host
