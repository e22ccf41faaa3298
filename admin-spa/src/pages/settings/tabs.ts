export const tabs = ['branding', 'prices', 'routes', 'sessions', 'password', 'groups', 'backups', 'about'] as const
