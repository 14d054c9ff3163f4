// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package ssh

import "hash"

// cksum is the checksum of the POSIX utility cksum: CRC-32 with the polynomial
// 0x04C11DB7, most significant bit first, over the bytes and then their number, least
// significant byte first (POSIX.1-2017, Shell & Utilities, cksum). It is the only
// checksum that every UNIX system has a program for.
type cksum struct {
	table [256]uint32
	crc   uint32
	n     uint64
}

func newCksum() hash.Hash32 {
	c := &cksum{}
	for i := range c.table {
		r := uint32(i) << 24
		for range 8 {
			r = r<<1 ^ 0x04C11DB7*(r>>31)
		}
		c.table[i] = r
	}
	return c
}

func (c *cksum) Write(p []byte) (int, error) {
	c.crc = c.update(c.crc, p)
	c.n += uint64(len(p))
	return len(p), nil
}

func (c *cksum) update(crc uint32, p []byte) uint32 {
	for _, b := range p {
		crc = crc<<8 ^ c.table[byte(crc>>24)^b]
	}
	return crc
}

func (c *cksum) Sum32() uint32 {
	crc := c.crc
	for n := c.n; n > 0; n >>= 8 {
		crc = c.update(crc, []byte{byte(n)})
	}
	return ^crc
}

func (c *cksum) Sum(b []byte) []byte {
	s := c.Sum32()
	return append(b, byte(s>>24), byte(s>>16), byte(s>>8), byte(s))
}

func (c *cksum) Reset()         { c.crc, c.n = 0, 0 }
func (c *cksum) Size() int      { return 4 }
func (c *cksum) BlockSize() int { return 1 }
