//go:build !libmm_tree

package libmm

// The installed library, found by pkg-config.

// #cgo pkg-config: libmm
import "C"
