/** Of one process since it began, from the operating system. */
export interface Usage {
  userUs: number;
  systemUs: number;
  voluntary: number;
  involuntary: number;
}

/** Of this process, all its threads included. */
export function usage(): Usage {
  const { userCPUTime, systemCPUTime, voluntaryContextSwitches, involuntaryContextSwitches } = process.resourceUsage();
  return {
    userUs: userCPUTime,
    systemUs: systemCPUTime,
    voluntary: voluntaryContextSwitches,
    involuntary: involuntaryContextSwitches,
  };
}

export function usageSince(before: Usage, now = usage()): Usage {
  return {
    userUs: now.userUs - before.userUs,
    systemUs: now.systemUs - before.systemUs,
    voluntary: now.voluntary - before.voluntary,
    involuntary: now.involuntary - before.involuntary,
  };
}
