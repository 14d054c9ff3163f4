/* Copyright The zfarm Authors
 * SPDX-License-Identifier: Apache-2.0 */
static const char when[] = __TIME__;
const char *started(void) { return when; }
