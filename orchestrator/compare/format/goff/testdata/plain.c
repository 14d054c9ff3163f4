/* Copyright The zfarm Authors
 * SPDX-License-Identifier: Apache-2.0 */
int limit(void) { return 3; }
int main(void) { return limit(); }
