package main

import (
	"math/bits"
	"sync/atomic"
)

// histogram counts nanoseconds in buckets that are at most 1/64 wide; callers share it.
type histogram struct {
	buckets [64 * 64]atomic.Int64
}

func (h *histogram) add(nanoseconds int64) {
	h.buckets[bucketOf(uint64(max(nanoseconds, 0)))].Add(1)
}

func bucketOf(value uint64) int {
	if value < 64 {
		return int(value)
	}
	shift := bits.Len64(value) - 7
	return (shift+1)*64 + int(value>>shift) - 64
}

func valueOf(bucket int) int64 {
	if bucket < 64 {
		return int64(bucket)
	}
	shift := bucket/64 - 1
	return int64(bucket%64+64) << shift
}

// quantiles returns, for each share, the time within which that share of the answers came.
func (h *histogram) quantiles(shares ...float64) []int64 {
	total := int64(0)
	for n := range h.buckets {
		total += h.buckets[n].Load()
	}
	values := make([]int64, len(shares))
	for n, share := range shares {
		left := int64(share * float64(total))
		for bucket := range h.buckets {
			if left -= h.buckets[bucket].Load(); left < 0 {
				values[n] = valueOf(bucket)
				break
			}
		}
	}
	return values
}
