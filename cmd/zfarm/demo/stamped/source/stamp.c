/* Copyright The zfarm Authors
 * SPDX-License-Identifier: Apache-2.0
 *
 * stamp says when and where it was built, which is the trouble with it. */
#include <stdio.h>

static const char date[] = __DATE__;
static const char hour[] = __TIME__;
static const char place[] = BUILD_DIR;

int main(void)
{
	return printf("built on %s at %s in %s\n", date, hour, place) < 0;
}
