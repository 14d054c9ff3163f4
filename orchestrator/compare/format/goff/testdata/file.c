/* Copyright The zfarm Authors
 * SPDX-License-Identifier: Apache-2.0 */
static const char where[] = __FILE__;
const char *source(void) { return where; }
