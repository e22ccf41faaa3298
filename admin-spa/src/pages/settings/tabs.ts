export const tabs = ['branding', 'prices', 'sessions', 'password', 'groups', 'about'] as const
