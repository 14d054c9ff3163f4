/* Copyright The zfarm Authors
 * SPDX-License-Identifier: Apache-2.0
 *
 * tally counts the lines, words and bytes of its standard input. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "version.h"

static int count(FILE *in)
{
	unsigned long lines = 0, words = 0, bytes = 0;
	int c, inside = 0;

	while ((c = getc(in)) != EOF) {
		bytes++;
		lines += c == '\n';
		if (isspace(c)) {
			inside = 0;
		} else if (!inside) {
			inside = 1;
			words++;
		}
	}
	return printf("%lu %lu %lu\n", lines, words, bytes) < 0 || ferror(in);
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--version") == 0)
		return printf("tally %s\n", VERSION) < 0;
	return count(stdin);
}
