export const tabs = ['branding', 'prices', 'sessions', 'password', 'groups', 'backups', 'about'] as const
